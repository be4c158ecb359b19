"""Trackers over UDP, and asked for figures."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

from ..lab import Lab, Tracker
from ..outcome import Failed, Skipped
from ..torrent import Torrent
from .base import OTHERS, Scenario

KINDS = ("opentracker", "rustor")


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Every client with `rustor` over UDP trackers of both makes, and scrapes of both over both protocols."""
    number = 0
    for other in (*OTHERS, "rustor"):
        # aria2 speaks to trackers over UDP only with its DHT.
        if other == "aria2":
            continue
        for seeder, leecher in dict.fromkeys(((other, "rustor"), ("rustor", other))):
            # In a quick run the trackers take turns.
            for kind in (KINDS[number % 2],) if quick else KINDS:
                yield _scenario(seeder, leecher, kind)
            number += 1
        number += 1
    yield Scenario("trackers/udp/libtorrent-to-rustor/ipv6", lambda lab: _ipv6(lab, "libtorrent", "rustor"))
    yield Scenario("trackers/udp/rustor-to-libtorrent/ipv6", lambda lab: _ipv6(lab, "rustor", "libtorrent"))
    for kind in KINDS:
        yield Scenario(f"trackers/scrape/{_name(kind)}", lambda lab, kind=kind: _scrape(lab, kind))
        yield Scenario(f"trackers/udp/leaving/{_name(kind)}", lambda lab, kind=kind: _leaving(lab, kind))
    yield Scenario("trackers/scrape/nobody-answers", _nobody_answers)


def _name(kind: str) -> str:
    return "own-tracker" if kind == "rustor" else kind


def _scenario(seeder: str, leecher: str, kind: str) -> Scenario:
    return Scenario(f"trackers/udp/{seeder}-to-{leecher}/{_name(kind)}", lambda lab: _transfer(lab, seeder, leecher, kind))


def _transfer(lab: Lab, seeder: str, leecher: str, kind: str, ipv6: bool = False) -> None:
    payload = lab.payload("tree")
    tracker = lab.tracker_at(kind, ipv6)
    torrent = lab.torrent(payload, [tracker.udp_url])
    lab.open_tracker(kind, tracker, torrent)
    lab.seeder(seeder, torrent, payload, tracker)
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded")), payload)


def _ipv6(lab: Lab, seeder: str, leecher: str) -> None:
    if not lab.environment.namespaces:
        raise Skipped("IPv6 needs namespaces")
    _transfer(lab, seeder, leecher, "rustor", ipv6=True)


def _scrape(lab: Lab, kind: str) -> None:
    """One seeder and one who has nothing yet, counted over HTTP and UDP, for a torrent file and for a magnet link."""
    payload = lab.large()
    tracker = lab.tracker_at(kind)
    torrent = lab.torrent(payload, [tracker.url, tracker.udp_url])
    lab.open_tracker(kind, tracker, torrent)
    lab.seeder("libtorrent", torrent, payload, tracker, upload_limit=1000)
    lab.peer("libtorrent", "leech", torrent, lab.folder("downloaded"))
    lab.wait(lambda: tracker.knows(torrent) == 2, "both are tracked")
    link = f"magnet:?xt=urn:btih:{torrent.info_hash.hex()}&tr={tracker.url}&tr={tracker.udp_url}"
    for named in (torrent.file, link):
        told = _figures(lab, named)
        expected = [{"url": url, "known": True, "seeders": 1, "leechers": 1, "downloads": 0} for url in (tracker.url, tracker.udp_url)]
        if told != expected:
            raise Failed(f"{told} in place of {expected}")


def _figures(lab: Lab, named: object) -> list[dict[str, object]]:
    process = lab.finish(lab.rustor("scrape", "--json", named), expect=0)
    trackers: list[dict[str, object]] = json.loads(process.stdout)["trackers"]
    return trackers


def _leaving(lab: Lab, kind: str) -> None:
    """A seeder that is interrupted tells the tracker so over UDP."""
    payload = lab.payload("tree")
    tracker = lab.tracker_at(kind)
    torrent = lab.torrent(payload, [tracker.udp_url])
    lab.open_tracker(kind, tracker, torrent)
    seeder = lab.seeder("rustor", torrent, payload, tracker)
    seeder.process.send(signal.SIGINT)
    lab.finish(seeder.process, expect=0)
    lab.wait(lambda: tracker.knows(torrent) == 0, "the tracker forgets the seeder")


def _nobody_answers(lab: Lab) -> None:
    """Each tracker gets a reason, and the exit code tells that none answered."""
    host = lab.host("tracker")
    silent = Tracker(host, host.address, host.free_port())
    torrent: Torrent = lab.torrent(lab.payload("tree"), [silent.url, f"http://{silent.at}/no-scrape", "wss://tracker.test/announce"])
    process = lab.finish(lab.rustor("scrape", torrent.file), expect=1)
    lines = process.stderr.strip().splitlines()
    if len(lines) != 4 or process.stdout or "no scrape convention" not in lines[1] or lines[3] != "error: no tracker answered":
        raise Failed(f"{lines} and {process.stdout!r}")
