"""The same engine on its other host: the example for async-std, in both directions."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from ..lab import Lab
from .base import Scenario

EXAMPLE = "async-std"


def scenarios(quick: bool) -> Iterator[Scenario]:
    """A download and a seeding, with another client and with the tokio host."""
    for other in ("libtorrent",) if quick else ("libtorrent", "transmission", "rustor"):
        for seeder, leecher in ((other, EXAMPLE), (EXAMPLE, other)):
            yield _scenario(seeder, leecher)
    yield Scenario("adapters/libtorrent-to-async-std/magnet", _magnet)
    yield Scenario("adapters/async-std/ctrl-c", _interrupted)


def _scenario(seeder: str, leecher: str) -> Scenario:
    return Scenario(f"adapters/{seeder}-to-{leecher}", lambda lab: _transfer(lab, seeder, leecher))


def _transfer(lab: Lab, seeder: str, leecher: str) -> None:
    payload = lab.large()
    tracker = lab.tracker_at("rustor")
    torrent = lab.torrent(payload, [tracker.url])
    lab.open_tracker("rustor", tracker, torrent)
    lab.seeder(seeder, torrent, payload, tracker)
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded")), payload)


def _magnet(lab: Lab) -> None:
    payload = lab.large()
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload)
    lab.complete(lab.peer(EXAMPLE, "leech", torrent, lab.folder("downloaded"), peers=(seeder.at,), magnet=torrent.magnet()), payload)


def _interrupted(lab: Lab) -> None:
    """Ctrl-C ends a seeder with exit code 0, and its tracker forgets it."""
    payload = lab.large()
    tracker = lab.tracker_at("rustor")
    torrent = lab.torrent(payload, [tracker.url])
    lab.open_tracker("rustor", tracker, torrent)
    seeder = lab.seeder(EXAMPLE, torrent, payload, tracker)
    seeder.process.send(signal.SIGINT)
    lab.finish(seeder.process, expect=0)
    lab.wait(lambda: tracker.knows(torrent) == 0, "the tracker forgets the seeder")
