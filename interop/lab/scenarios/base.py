"""What a scenario is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..lab import Lab

OTHERS = ("libtorrent", "aria2", "transmission")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A name, what to do, and how long it may take. What it returns is shown beside its result."""

    name: str
    run: Callable[[Lab], str | None]
    seconds: float = 60
    #: Whether our own client takes part; the self-test of the lab leaves those out.
    rustor: bool = True
