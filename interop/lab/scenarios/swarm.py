"""One seeder and four leechers of mixed make."""

from __future__ import annotations

from collections.abc import Iterator

from ..lab import Lab, mib
from .base import Scenario

MIXED = ("rustor", "transmission", "aria2", "libtorrent")


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Swarms seeded by another client and by ours."""
    for tracker in ("opentracker",) if quick else ("opentracker", "rustor"):
        yield _scenario("libtorrent", MIXED, tracker)
    for tracker in ("rustor",) if quick else ("rustor", "opentracker"):
        yield _scenario("rustor", ("rustor", "rustor", "aria2", "transmission"), tracker)
    if not quick:
        yield _scenario("rustor", ("rustor",) * 4, "rustor")
    yield _scenario("libtorrent", ("libtorrent", "transmission", "aria2", "libtorrent"), "opentracker")


def _scenario(seeder: str, leechers: tuple[str, ...], tracker: str) -> Scenario:
    rustor = "rustor" in (seeder, tracker, *leechers)
    where = "own-tracker" if tracker == "rustor" else tracker
    name = f"swarm/{seeder}-to-{'+'.join(leechers)}/{where}"
    return Scenario(name, lambda lab: _swarm(lab, seeder, leechers, tracker), 120, rustor)


def _swarm(lab: Lab, seeder: str, leechers: tuple[str, ...], tracker_kind: str) -> str | None:
    payload = lab.large()
    tracker = lab.tracker_at(tracker_kind)
    torrent = lab.torrent(payload, [tracker.url])
    lab.open_tracker(tracker_kind, tracker, torrent)
    seed = lab.seeder(seeder, torrent, payload, tracker)
    peers = [
        lab.peer(make, "leech", torrent, lab.folder(f"downloaded-{number}")) for number, make in enumerate(leechers)
    ]
    for peer in peers:
        lab.complete(peer, payload)
    if seeder != "libtorrent":
        return None
    lab.pause(0.1)
    return f"the seeder sent {seed.sent() / payload.size:.2f} copies, {mib(seed.sent())}"
