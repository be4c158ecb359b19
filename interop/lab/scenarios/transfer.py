"""One seeder, one leecher, both directions, each payload, each tracker."""

from __future__ import annotations

from collections.abc import Iterator

from ..lab import Lab
from ..outcome import Failed, Skipped
from ..payload import differences
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
    yield Scenario("transfer/libtorrent-to-rustor/large/ipv6", lambda lab: _ipv6(lab, "libtorrent", "rustor"))
    yield Scenario("transfer/rustor-to-libtorrent/large/ipv6", lambda lab: _ipv6(lab, "rustor", "libtorrent"))
    yield Scenario("transfer/torrent-from-a-url", _by_url)
    yield Scenario("transfer/two-torrents-at-once", _two_at_once)
    yield Scenario("transfer/download-then-seed", _then_seed)
    for number, (seeder, leecher) in enumerate((a, b) for a in OTHERS for b in OTHERS if a != b):
        for payload in (PAYLOADS[number % 2],) if quick else PAYLOADS:
            yield _scenario(seeder, leecher, payload, "opentracker", rustor=False)


def _scenario(seeder: str, leecher: str, payload: str, tracker: str, rustor: bool) -> Scenario:
    name = f"transfer/{seeder}-to-{leecher}/{payload}/{'own-tracker' if tracker == 'rustor' else tracker}"
    return Scenario(name, lambda lab: _transfer(lab, seeder, leecher, payload, tracker), 60, rustor)


def _transfer(lab: Lab, seeder: str, leecher: str, payload_name: str, tracker_kind: str, ipv6: bool = False) -> None:
    payload = lab.payload(payload_name)
    tracker = lab.tracker_at(tracker_kind, ipv6)
    torrent = lab.torrent(payload, [tracker.url])
    lab.open_tracker(tracker_kind, tracker, torrent)
    lab.seeder(seeder, torrent, payload, tracker)
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded")), payload)


def _ipv6(lab: Lab, seeder: str, leecher: str) -> None:
    """The tracker has an IPv6 address only, so that it knows its peers by theirs."""
    if not lab.environment.namespaces:
        raise Skipped("IPv6 needs namespaces")
    _transfer(lab, seeder, leecher, "large", "rustor", ipv6=True)


def _by_url(lab: Lab) -> None:
    payload = lab.payload("tree")
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload)
    server = lab.scripted_tracker("file", torrent.file)
    lab.finish(lab.rustor("download", server.url, "-o", lab.folder("downloaded"), "--peer", seeder.at), expect=0)
    lab.compare(payload, lab.folder("downloaded"))


def _two_at_once(lab: Lab) -> None:
    tracker = lab.tracker_at("opentracker")
    payloads = [lab.payload(name) for name in PAYLOADS]
    torrents = [lab.torrent(payload, [tracker.url], name=f"job-{number}") for number, payload in enumerate(payloads)]
    lab.open_tracker("opentracker", tracker, *torrents)
    for torrent, payload in zip(torrents, payloads):
        lab.seeder("libtorrent", torrent, payload, tracker)
    out = lab.folder("downloaded")
    lab.finish(lab.rustor("download", *(torrent.file for torrent in torrents), "-o", out), expect=0)
    for payload in payloads:
        others = [other.name for other in payloads if other is not payload]
        lab.compare(payload, out, ignore=others)


def _then_seed(lab: Lab) -> None:
    """With `--seed` a download stays, and serves when nobody else does."""
    payload = lab.payload("large")
    torrent = lab.torrent(payload, [])
    first = lab.seeder("libtorrent", torrent, payload)
    out, port = lab.folder("first"), lab.host("rustor").free_port()
    process = lab.rustor("download", torrent.file, "-o", out, "--peer", first.at, "--port", port, "--seed")
    lab.wait(lambda: process.exit_code is not None or not differences(payload.root, out), "the download is complete")
    if process.exit_code is not None:
        raise Failed(f"ended in spite of --seed, exit code {process.exit_code}")
    first.process.kill()
    at = f"{lab.host('rustor').address}:{port}"
    lab.complete(lab.peer("libtorrent", "leech", torrent, lab.folder("second"), peers=(at,)), payload)
