"""Killed at any moment and started again with the same command; and stopped politely."""

from __future__ import annotations

import pathlib
import random
import signal
from collections.abc import Iterator

from ..lab import Lab, Peer, mib
from ..outcome import Failed
from ..payload import MIB, Payload
from ..process import Process
from ..torrent import Torrent
from .base import Scenario
from .damage import download

RATE = 6 * MIB
# What may be under way when the process dies: pieces begun, and blocks still in the sockets' buffers.
UNDER_WAY = 8 * MIB


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Kills and interrupts."""
    rounds = 4 if quick else 12
    yield Scenario("crash/kill-in-mid-download", _kill_once, 120)
    yield Scenario(f"crash/{rounds}-kills-at-random", lambda lab: _kill_often(lab, rounds, polite=False), 180)
    yield Scenario(f"crash/{rounds}-kills-while-stopping", lambda lab: _kill_often(lab, rounds, polite=True), 180)
    yield Scenario("crash/first-interrupt-stops-politely", _interrupt, 90)
    yield Scenario("crash/second-interrupt-stops-at-once", _interrupt_twice, 60)


def _prepare(lab: Lab, urls: list[str], rate: int = RATE) -> tuple[Payload, Torrent, Peer, pathlib.Path]:
    payload = lab.environment.payloads.large(24 if lab.quick else 64)
    torrent = lab.torrent(payload, urls)
    return payload, torrent, lab.seeder("libtorrent", torrent, payload, upload_limit=rate), lab.folder("downloaded")


def _begin(lab: Lab, torrent: Torrent, seeder: Peer, out: pathlib.Path) -> Process:
    return lab.rustor("download", torrent.file, "-o", out, "--peer", seeder.at)


def _until_sent(lab: Lab, seeder: Peer, size: int, process: Process) -> None:
    lab.wait(lambda: seeder.sent() >= size or process.exit_code is not None, f"{mib(size)} have been sent")
    if process.exit_code is not None:
        raise Failed(f"{process.name} ended before it could be stopped, exit code {process.exit_code}")


def _resume(lab: Lab, payload: Payload, torrent: Torrent, seeder: Peer, out: pathlib.Path) -> str:
    """The same command again: what is on disk is not fetched a second time."""
    sent = seeder.settled(lab)
    wanted = sum(torrent.lengths()[index] for index in torrent.missing(out))
    kept = payload.size - wanted
    if sent - kept > UNDER_WAY:
        raise Failed(f"{mib(sent)} were received, only {mib(kept)} are on disk")
    fetched = download(lab, torrent, payload, seeder, out)
    if fetched > wanted:
        raise Failed(f"fetched {fetched} bytes although only {wanted} were missing")
    return f"{mib(sent)} sent, {mib(kept)} kept, {mib(fetched)} fetched after the restart"


def _kill_once(lab: Lab) -> str:
    payload, torrent, seeder, out = _prepare(lab, [])
    process = _begin(lab, torrent, seeder, out)
    _until_sent(lab, seeder, payload.size // 2, process)
    process.kill()
    return _resume(lab, payload, torrent, seeder, out)


def _kill_often(lab: Lab, rounds: int, polite: bool) -> str:
    """Kills at random moments; `polite` ones follow an interrupt, when resume data is sure to be written."""
    payload, torrent, seeder, out = _prepare(lab, [], RATE // 3)
    moments = random.Random(rounds + polite)
    done = 0
    for number in range(rounds):
        before = seeder.sent()
        process = _begin(lab, torrent, seeder, out)
        _until_sent(lab, seeder, before + 1, process)
        lab.pause(moments.uniform(0, 0.7))
        if polite:
            process.send(signal.SIGINT)
            lab.pause(moments.uniform(0, 0.06))
        process.kill()
        done = number + 1
    fetched = download(lab, torrent, payload, seeder, out)
    again = seeder.settled(lab) - payload.size
    if again > done * UNDER_WAY:
        raise Failed(f"{mib(again)} were fetched again after {done} kills")
    return f"{done} kills, {mib(again)} fetched again, {mib(fetched)} in the last run"


def _interrupt(lab: Lab) -> str:
    tracker = lab.scripted_tracker("peers")
    payload, torrent, seeder, out = _prepare(lab, [tracker.url])
    process = _begin(lab, torrent, seeder, out)
    _until_sent(lab, seeder, payload.size // 2, process)
    process.send(signal.SIGINT)
    lab.finish(process)
    if process.exit_code not in (0, 1, 130):
        raise Failed(f"exit code {process.exit_code}")
    if "started" not in tracker.events() or tracker.events()[-1] != "stopped":
        raise Failed(f"the tracker was told {tracker.events()}")
    if tracker.events().count("completed"):
        raise Failed("the tracker was told `completed`")
    if "panicked" in process.stderr:
        raise Failed("panicked")
    result = _resume(lab, payload, torrent, seeder, out)
    if tracker.events().count("completed") != 1:
        raise Failed(f"the tracker was told {tracker.events()}")
    return f"exit code {process.exit_code}; {result}"


def _interrupt_twice(lab: Lab) -> None:
    """A tracker that never answers holds up the polite end, not the second interrupt."""
    tracker = lab.scripted_tracker("never")
    _, torrent, seeder, out = _prepare(lab, [tracker.url])
    process = _begin(lab, torrent, seeder, out)
    _until_sent(lab, seeder, MIB, process)
    process.send(signal.SIGINT)
    lab.pause(0.3)
    if process.exit_code is None:
        process.send(signal.SIGINT)
        lab.finish(process, expect=130)
