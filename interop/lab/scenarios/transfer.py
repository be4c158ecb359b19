"""One seeder, one leecher, both directions, each payload, each tracker."""

from __future__ import annotations

from collections.abc import Iterator

from ..lab import Lab
from .base import OTHERS, Scenario

PAYLOADS = ("large", "tree")


def scenarios(quick: bool) -> Iterator[Scenario]:
    """All pairs with `rustor` in them, and the others among themselves for the self-test."""
    number = 0
    for other in OTHERS:
        for seeder, leecher in ((other, "rustor"), ("rustor", other)):
            for payload in PAYLOADS:
                # In a quick run the trackers take turns, so that every client meets both.
                choice = ("opentracker", "rustor")
                for tracker in (choice[number % 2],) if quick else choice:
                    yield _scenario(seeder, leecher, payload, tracker, rustor=True)
                number += 1
        number += 1
    for payload in PAYLOADS:
        yield _scenario("rustor", "rustor", payload, "rustor", rustor=True)
    for number, (seeder, leecher) in enumerate((a, b) for a in OTHERS for b in OTHERS if a != b):
        for payload in (PAYLOADS[number % 2],) if quick else PAYLOADS:
            yield _scenario(seeder, leecher, payload, "opentracker", rustor=False)


def _scenario(seeder: str, leecher: str, payload: str, tracker: str, rustor: bool) -> Scenario:
    name = f"transfer/{seeder}-to-{leecher}/{payload}/{'own-tracker' if tracker == 'rustor' else tracker}"
    return Scenario(name, lambda lab: _transfer(lab, seeder, leecher, payload, tracker), 60, rustor)


def _transfer(lab: Lab, seeder: str, leecher: str, payload_name: str, tracker_kind: str) -> None:
    payload = lab.payload(payload_name)
    tracker = lab.tracker_at(tracker_kind)
    torrent = lab.torrent(payload, [tracker.url])
    lab.open_tracker(tracker_kind, tracker, torrent)
    lab.seeder(seeder, torrent, payload, tracker)
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded")), payload)
