"""Clients of one network find each other by multicast (BEP 14), without a tracker."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..clients import Job
from ..lab import Lab, Peer
from ..outcome import Skipped
from ..payload import Payload
from ..torrent import Torrent
from .base import OTHERS, Scenario

#: Transmission announces what it has every four minutes, however new it is.
AT_ONCE = ("libtorrent", "aria2", "rustor")


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Whoever comes second is heard by who is there, so both orders are tried."""
    del quick
    for other in OTHERS:
        # aria2 connects to nobody once it has everything.
        if other != "aria2":
            yield _scenario("rustor-is-heard", other, "rustor", rustor_first=False)
        yield _scenario("rustor-is-heard", "rustor", other, rustor_first=False)
    for other in AT_ONCE:
        yield _scenario("rustor-hears", other, "rustor", rustor_first=True)


def _scenario(what: str, seeder: str, leecher: str, rustor_first: bool) -> Scenario:
    name = f"local-discovery/{what}/{seeder}-to-{leecher}"
    return Scenario(name, lambda lab: _transfer(lab, seeder, leecher, rustor_first))


def _transfer(lab: Lab, seeder: str, leecher: str, rustor_first: bool) -> None:
    if not lab.environment.namespaces:
        raise Skipped("local discovery needs a network of its own")
    payload = lab.payload("tree")
    torrent = lab.torrent(payload, [])
    leecher_first = (leecher == "rustor") == rustor_first
    if leecher_first:
        taker = _start(lab, leecher, "leech", torrent, payload)
        lab.pause(3)
        _start(lab, seeder, "seed", torrent, payload)
    else:
        _start(lab, seeder, "seed", torrent, payload)
        # Nobody hears before it has checked what it has.
        lab.pause(3)
        taker = _start(lab, leecher, "leech", torrent, payload)
    lab.complete(taker, payload)


def _start(lab: Lab, make: str, role: str, torrent: Torrent, payload: Payload) -> Peer:
    """Starts a client with local discovery on, which it has off otherwise."""
    client = lab.environment.client(make)
    if missing := client.missing():
        raise Skipped(missing)
    name = f"{make}-{role}"
    host = lab.host(name)
    directory = payload.root if role == "seed" else lab.folder("downloaded")
    job = Job(torrent.file, directory, host.free_port(), host, lab.folder(f"state-{name}"))
    argv = client.seed(job) if role == "seed" else client.leech(job)
    match make:
        case "libtorrent":
            argv.append("--local-discovery")
        case "aria2":
            argv = [word.replace("--bt-enable-lpd=false", "--bt-enable-lpd=true") for word in argv]
        case "transmission":
            file = job.state / "settings.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"lpd-enabled": True}))
    return Peer(client, job, lab.start(name, argv, host, state=name))
