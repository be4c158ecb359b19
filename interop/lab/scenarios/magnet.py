"""Magnet links: what they stand for comes from peers, in both directions."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator

from ..lab import Lab
from ..outcome import Failed
from .base import OTHERS, Scenario

#: How the link lets its reader find the seeder.
WAYS = ("http", "udp", "peer")


def scenarios(quick: bool) -> Iterator[Scenario]:
    """`rustor` by link from each client over each kind of tracker and over none, and each client by link from `rustor`."""
    for other in OTHERS:
        for way in WAYS:
            payload = "tree" if way == "peer" else "large"
            yield _scenario(other, "rustor", payload, way)
    for other, ways in (("libtorrent", WAYS), ("aria2", ("http", "udp")), ("transmission", ("http",))):
        for way in ways:
            yield _scenario("rustor", other, "large" if way == "peer" else "tree", way)
    yield _scenario("rustor", "rustor", "tree", "own-tracker")
    for seeder, leecher in (("libtorrent", "rustor"), ("rustor", "libtorrent")):
        name = f"magnet/{seeder}-to-{leecher}/metadata-in-several-pieces"
        yield Scenario(name, lambda lab, s=seeder, l=leecher: _long_metadata(lab, s, l))
    yield Scenario("magnet/seed-by-link", _seed_by_link)
    yield Scenario("magnet/ctrl-c-and-on", _interrupted)
    for number, (seeder, leecher) in enumerate((("libtorrent", "transmission"), ("transmission", "aria2"), ("aria2", "libtorrent"))):
        yield _scenario(seeder, leecher, "large", WAYS[number % 2], rustor=False)


def _scenario(seeder: str, leecher: str, payload: str, way: str, rustor: bool = True) -> Scenario:
    return Scenario(f"magnet/{seeder}-to-{leecher}/{payload}/{way}", lambda lab: _transfer(lab, seeder, leecher, payload, way), 60, rustor)


def _transfer(lab: Lab, seeder: str, leecher: str, payload_name: str, way: str) -> None:
    payload = lab.payload(payload_name)
    out = lab.folder("downloaded")
    if way == "peer":
        torrent = lab.torrent(payload, [])
        seed = lab.seeder(seeder, torrent, payload)
        lab.complete(lab.peer(leecher, "leech", torrent, out, peers=(seed.at,), magnet=torrent.magnet()), payload)
        return
    kind = "rustor" if way == "own-tracker" else "opentracker"
    tracker = lab.tracker_at(kind)
    url = tracker.udp_url if way == "udp" else tracker.url
    # Not every client announces over UDP as it is set up here: the seeder does if it is ours.
    torrent = lab.torrent(payload, [url if seeder == "rustor" else tracker.url])
    lab.open_tracker(kind, tracker, torrent)
    lab.seeder(seeder, torrent, payload, tracker)
    lab.complete(lab.peer(leecher, "leech", torrent, out, magnet=torrent.magnet([url])), payload)


def _long_metadata(lab: Lab, seeder: str, leecher: str) -> str:
    payload = dataclasses.replace(lab.large(), piece_length=8192)
    torrent = lab.torrent(payload, [])
    seed = lab.seeder(seeder, torrent, payload)
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded"), peers=(seed.at,), magnet=torrent.magnet()), payload)
    size = len(torrent.info[b"pieces"])
    if size <= 16384:
        raise Failed("the metadata fits into one piece")
    return f"{size} bytes of hashes"


def _seed_by_link(lab: Lab) -> None:
    """Who has the data and the link alone gets the metadata from a peer, and gives it on when that one is gone."""
    payload = lab.payload("tree")
    torrent = lab.torrent(payload, [])
    first = lab.seeder("libtorrent", torrent, payload)
    port = lab.host("rustor").free_port()
    process = lab.rustor("seed", torrent.magnet(), payload.root, "--peer", first.at, "--port", port)
    lab.wait(lambda: "seeding" in process.stderr or process.exit_code is not None, "rustor seeds")
    first.process.kill()
    at = f"{lab.host('rustor').address}:{port}"
    second = lab.peer("libtorrent", "leech", torrent, lab.folder("downloaded"), peers=(at,), magnet=torrent.magnet())
    lab.complete(second, payload)
    process.send(signal.SIGINT)
    lab.finish(process, expect=0)


def _interrupted(lab: Lab) -> str:
    """Ctrl-C in mid-download, and the link is enough to go on, with what was there."""
    payload = lab.large()
    torrent = lab.torrent(payload, [])
    seed = lab.seeder("libtorrent", torrent, payload, upload_limit=payload.size // 6)
    out = lab.folder("downloaded")
    arguments = ("download", torrent.magnet(), "-o", out, "--peer", seed.at)
    process = lab.rustor(*arguments)
    lab.wait(lambda: len(torrent.missing(out)) < len(torrent.lengths()) * 3 / 4, "a quarter is there")
    process.send(signal.SIGINT)
    lab.finish(process, expect=1)
    missing = sum(torrent.lengths()[piece] for piece in torrent.missing(out))
    before = seed.settled(lab)
    lab.finish(lab.rustor(*arguments), expect=0)
    lab.compare(payload, out)
    fetched = seed.settled(lab) - before
    if fetched > missing:
        raise Failed(f"fetched {fetched} bytes although only {missing} were missing")
    return f"{missing} bytes were missing"
