"""All scenarios, in the order in which they run."""

from __future__ import annotations

from . import (
    adapters,
    bad_input,
    bad_peers,
    crash,
    create,
    damage,
    local_discovery,
    limits,
    magnet,
    record,
    selection,
    swarm,
    trackers,
    transfer,
    web_seeds,
)
from .base import Scenario

MODULES = (transfer, magnet, limits, selection, trackers, local_discovery, create, swarm, web_seeds, bad_peers, bad_input, damage, crash, record, adapters)


def all_scenarios(quick: bool) -> list[Scenario]:
    """Every scenario; `quick` leaves out what others cover nearly as well."""
    return [scenario for module in MODULES for scenario in module.scenarios(quick)]
