"""Torrents whose files lie on a web server (BEP 19): nginx alone, nginx beside a peer, and nginx that goes away."""

from __future__ import annotations

from collections.abc import Iterator

from .. import web
from ..lab import Lab, mib
from ..outcome import Failed
from ..payload import MIB
from .base import Scenario

RATE = 4 * MIB


def scenarios(quick: bool) -> Iterator[Scenario]:
    """The server alone in each of its moods, and together with a peer."""
    del quick
    for payload in ("large", "tree"):
        yield Scenario(f"web-seed/nginx/{payload}", lambda lab, p=payload: _alone(lab, p), 60)
        yield Scenario(f"web-seed/nginx-without-ranges/{payload}", lambda lab, p=payload: _alone(lab, p, "max_ranges 0;"), 60)
    yield Scenario("web-seed/nginx/large/by-its-own-url", _own_url, 60)
    yield Scenario("web-seed/nginx/tree/redirected", _redirected, 60)
    yield Scenario("web-seed/nginx/large/from-the-middle", _from_the_middle, 60)
    yield Scenario("web-seed/nginx/large/two-servers", _two_servers, 60)
    yield Scenario("web-seed/nginx/large/stops-half-way", _stops, 120)
    yield Scenario("web-seed/nginx/large/beside-a-peer", _beside_a_peer, 120)
    yield Scenario("web-seed/nginx/tree/some-files-missing", _missing_files, 120)
    yield Scenario("web-seed/nginx/large/wrong-bytes", _wrong_bytes, 120)


def _alone(lab: Lab, name: str, options: str = "") -> str:
    """No tracker, no peer: everything comes from the server, and is requested once."""
    payload = lab.payload(name)
    server = web.Server(lab, payload.root, options)
    torrent = lab.torrent(payload, [], web_seeds=[server.url])
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded")), payload)
    if server.sent() > payload.size * 1.05:
        raise Failed(f"{server.sent()} bytes were sent for {payload.size}")
    return f"{server.requests()} requests, {mib(server.sent())}"


def _own_url(lab: Lab) -> None:
    """A single file's URL may be its own."""
    payload = lab.payload("large")
    server = web.Server(lab, payload.root)
    torrent = lab.torrent(payload, [], web_seeds=[f"{server.url}{payload.name}"])
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded")), payload)


def _redirected(lab: Lab) -> None:
    payload = lab.payload("tree")
    server = web.Server(lab, payload.root)
    mirror = web.Server(lab, lab.folder("empty"), f"rewrite ^/pub/(.*)$ {server.url}$1 redirect;", "mirror")
    torrent = lab.torrent(payload, [], web_seeds=[f"{mirror.url}pub/"])
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded")), payload)


def _from_the_middle(lab: Lab) -> str:
    """What is on disk already is not requested."""
    payload = lab.payload("large")
    server = web.Server(lab, payload.root)
    torrent = lab.torrent(payload, [], web_seeds=[server.url])
    out = lab.folder("downloaded")
    content = bytearray(payload.path.read_bytes())
    third = payload.size // 3
    content[third : 2 * third] = bytes(third)
    (out / payload.name).write_bytes(content)
    lab.complete(lab.peer("rustor", "leech", torrent, out), payload)
    if server.sent() > third + 4 * torrent.piece_length:
        raise Failed(f"{server.sent()} bytes were sent for {third}")
    return f"{server.requests()} requests, {mib(server.sent())}"


def _two_servers(lab: Lab) -> str:
    payload = lab.payload("large")
    servers = [web.Server(lab, payload.root, f"limit_rate {RATE};", name) for name in ("one", "two")]
    torrent = lab.torrent(payload, [], web_seeds=[server.url for server in servers])
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded")), payload)
    shares = [server.sent() for server in servers]
    if min(shares) * 5 < payload.size or sum(shares) > payload.size * 1.1:
        raise Failed(f"the servers sent {shares} bytes of {payload.size}")
    return " and ".join(mib(share) for share in shares)


def _stops(lab: Lab) -> None:
    """The server is killed half-way; a peer that appears then has the rest."""
    payload = lab.payload("large")
    server = web.Server(lab, payload.root, f"limit_rate {RATE};")
    torrent = lab.torrent(payload, [], web_seeds=[server.url])
    out = lab.folder("downloaded")
    leecher = lab.peer("rustor", "leech", torrent, out)
    pieces = len(torrent.lengths())
    lab.wait(lambda: leecher.process.exit_code is not None or len(torrent.missing(out)) < pieces * 2 // 3, "a third is there")
    server.process.kill()
    if leecher.process.exit_code is not None:
        raise Failed("the download ended before the server did")
    lab.pause(1)
    lab.seeder("libtorrent", torrent, payload, peers=(leecher.at,))
    lab.complete(leecher, payload)


def _beside_a_peer(lab: Lab) -> str:
    """Both send, and little comes twice."""
    payload = lab.payload("large")
    server = web.Server(lab, payload.root, f"limit_rate {RATE};")
    torrent = lab.torrent(payload, [], web_seeds=[server.url])
    seeder = lab.seeder("libtorrent", torrent, payload, upload_limit=RATE)
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded"), peers=(seeder.at,)), payload)
    sent, served = seeder.settled(lab), server.sent()
    if served * 8 < payload.size or sent * 8 < payload.size:
        raise Failed(f"the server sent {mib(served)}, the peer {mib(sent)}")
    return f"the server sent {mib(served)}, the peer {mib(sent)} of {mib(payload.size)}"


def _missing_files(lab: Lab) -> None:
    """A server that lacks some files sends the others; a peer has the rest."""
    payload = lab.payload("tree")
    server = web.Server(lab, payload.root, "location ~ (border|last) { return 404; }")
    torrent = lab.torrent(payload, [], web_seeds=[server.url])
    leecher = lab.peer("rustor", "leech", torrent, lab.folder("downloaded"))
    lab.wait(lambda: server.requests() > 3, "the server was asked")
    lab.seeder("libtorrent", torrent, payload, peers=(leecher.at,))
    lab.complete(leecher, payload)


def _wrong_bytes(lab: Lab) -> None:
    """A server with another file of the same length is asked once; a peer has the true one."""
    payload = lab.payload("large")
    fake = lab.folder("fake")
    (fake / payload.name).write_bytes(bytes(payload.size))
    server = web.Server(lab, fake)
    torrent = lab.torrent(payload, [], web_seeds=[server.url])
    leecher = lab.peer("rustor", "leech", torrent, lab.folder("downloaded"))
    lab.wait(lambda: server.requests() > 0, "the server was asked")
    lab.seeder("libtorrent", torrent, payload, peers=(leecher.at,))
    lab.complete(leecher, payload)
    if server.requests() > 1:
        raise Failed(f"the server was asked {server.requests()} times")
