"""What a scenario works with: hosts, processes, payloads, a deadline, and the cleaning up of it all."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import socket
import threading
import time
from collections.abc import Callable

from . import trackers
from .clients import Aria2, AsyncStd, Client, Job, Libtorrent, Rustor, Transmission
from .net import Host, Network
from .outcome import Cancelled, Failed, Skipped
from .payload import MIB, Payload, Payloads, differences
from .process import Process
from .torrent import Torrent


@dataclasses.dataclass(frozen=True)
class Environment:
    """What all scenarios of a run share."""

    root: pathlib.Path
    binary: pathlib.Path
    example: pathlib.Path
    modules: pathlib.Path
    payloads: Payloads
    namespaces: bool
    quick: bool
    large_mib: int
    cancelled: threading.Event

    def client(self, name: str) -> Client:
        """The client of that name."""
        match name:
            case "rustor":
                return Rustor(self.binary)
            case "async-std":
                return AsyncStd(self.example)
            case "libtorrent":
                return Libtorrent(self.modules)
            case "aria2":
                return Aria2()
            case "transmission":
                return Transmission()
        raise ValueError(name)


@dataclasses.dataclass(frozen=True)
class Tracker:
    """A tracker that runs in the lab."""

    host: Host
    address: str
    port: int

    @property
    def at(self) -> str:
        """Its address and port."""
        return authority(self.address, self.port)

    @property
    def url(self) -> str:
        """Its announce URL."""
        return f"http://{self.at}/announce"

    @property
    def udp_url(self) -> str:
        """Its announce URL over UDP."""
        return f"udp://{self.at}/announce"

    def knows(self, torrent: Torrent) -> int:
        """How many peers of the torrent have announced themselves."""
        counts = trackers.scrape(self.host, self.address, self.port, torrent.info_hash)
        return counts.get(b"complete", 0) + counts.get(b"incomplete", 0)


class Lab:
    """One scenario's world. Close it to remove every process, namespace and file."""

    def __init__(self, environment: Environment, name: str, seconds: float) -> None:
        self.environment = environment
        self.quick = environment.quick
        self.directory = environment.root / name.replace("/", "+")
        self.logs = self.directory / "logs"
        self.logs.mkdir(parents=True)
        self.processes: list[Process] = []
        self._deadline = time.monotonic() + seconds
        self._closers: list[Callable[[], object]] = []
        self._network = Network(environment.namespaces)

    # Making things.

    def host(self, name: str) -> Host:
        """The host called `name`."""
        return self._network.host(name)

    def folder(self, name: str) -> pathlib.Path:
        """A folder of this scenario, made at its first mention."""
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def large(self) -> Payload:
        """The large file in the size chosen for the run."""
        return self.environment.payloads.large(self.environment.large_mib)

    def payload(self, name: str) -> Payload:
        """The payload called `large` or `tree`."""
        return self.large() if name == "large" else self.environment.payloads.tree()

    def torrent(self, payload: Payload, urls: list[str], name: str = "job", web_seeds: list[str] | None = None) -> Torrent:
        """A torrent of the payload, made by the lab itself."""
        return Torrent.make(payload, self.directory / f"{name}.torrent", urls, web_seeds or [])

    def start(self, name: str, argv: list[str], host: Host, state: str | None = None) -> Process:
        """Starts a command. Processes with the same `state` share their home folder."""
        self._check()
        home = str(self.folder(f"state-{state or host.name}"))
        env = {f"XDG_{kind}_HOME": f"{home}/{kind.lower()}" for kind in ("DATA", "CONFIG", "CACHE", "STATE")}
        taken = sum(process.name.split("#")[0] == name for process in self.processes)
        process = Process(f"{name}#{taken + 1}" if taken else name, argv, host, self.logs, env | {"HOME": home})
        self.processes.append(process)
        return process

    def rustor(self, *arguments: object, host: str = "rustor", state: str | None = None) -> Process:
        """Starts `rustor` with these arguments."""
        argv = [str(self.environment.binary), *map(str, arguments)]
        return self.start(f"{host}-{arguments[0]}", argv, self.host(host), state)

    def run_rustor(self, *arguments: object) -> Process:
        """Runs `rustor` to its end."""
        return self.finish(self.rustor(*arguments))

    def tracker_at(self, kind: str, ipv6: bool = False) -> Tracker:
        """Where a tracker will be: a torrent names its tracker, and opentracker wants to know the torrent."""
        missing = trackers.opentracker_missing() if kind == "opentracker" else self.environment.client("rustor").missing()
        if missing:
            raise Skipped(missing)
        host = self.host("tracker")
        return Tracker(host, host.address6 if ipv6 else host.address, host.free_port())

    def open_tracker(self, kind: str, tracker: Tracker, *torrents: Torrent) -> None:
        """Starts the tracker and waits until it answers."""
        if kind == "opentracker":
            hashes = [torrent.info_hash for torrent in torrents]
            argv = trackers.opentracker(tracker.host, tracker.port, self.directory / "opentracker", hashes)
        else:
            argv = [str(self.environment.binary), "tracker", "--bind", tracker.at]
        process = self.start(kind + "-tracker", argv, tracker.host)
        self.wait(lambda: _listens(tracker.host, tracker.address, tracker.port) or self._ended(process), "the tracker answers")

    def scripted_tracker(self, behaviour: str, file: pathlib.Path | None = None) -> trackers.ScriptedTracker:
        """A tracker in this script, see `ScriptedTracker`."""
        tracker = trackers.ScriptedTracker(self.host("tracker"), behaviour, file)
        self._closers.append(tracker.close)
        return tracker

    def on_close(self, action: Callable[[], object]) -> None:
        """Has something done when the scenario ends, after its processes are gone."""
        self._closers.append(action)

    # Peers.

    def peer(self, make: str, role: str, torrent: Torrent, directory: pathlib.Path, **options: object) -> Peer:
        """Starts a client of that make as `seed` or `leech` on a host of its own."""
        client = self.environment.client(make)
        if missing := client.missing():
            raise Skipped(missing)
        if client.needs_own_address and not self.environment.namespaces:
            raise Skipped(f"{make} tells peers apart by address only: it needs namespaces")
        number = sum(process.name.startswith(f"{make}-{role}") for process in self.processes) + 1
        name = f"{make}-{role}-{number}"
        host = self.host(name)
        job = Job(torrent.file, directory, host.free_port(), host, self.folder(f"state-{name}"), **options)  # type: ignore[arg-type]
        argv = client.seed(job) if role == "seed" else client.leech(job)
        return Peer(client, job, self.start(name, argv, host, state=name))

    def seeder(self, make: str, torrent: Torrent, payload: Payload, tracker: Tracker | None = None, **options: object) -> Peer:
        """Starts a seeder and waits until the tracker knows it, or until it listens where there is none."""
        peer = self.peer(make, "seed", torrent, payload.root, **options)
        if tracker:
            self.wait(lambda: tracker.knows(torrent) > 0 or self._ended(peer.process), f"{make} announces itself")
        else:
            self.wait(lambda: _listens(peer.job.host, peer.job.host.address, peer.job.port) or self._ended(peer.process), f"{make} listens")
        return peer

    def complete(self, peer: Peer, payload: Payload) -> None:
        """Waits until a leecher has everything, and compares every byte."""

        def state() -> list[str]:
            return differences(payload.root, peer.job.directory, peer.client.empty_files)

        if peer.client.exits_when_done:
            self.finish(peer.process, expect=0)
            problems = state()
        else:
            problems = ["nothing yet"]

            def done() -> bool:
                problems[:] = state()
                return not problems or self._ended(peer.process)

            try:
                self.wait(done, "")
            except Failed:
                pass
        if problems:
            raise Failed(f"{peer.process.name}: {'; '.join(problems[:4])}")

    def compare(self, payload: Payload, directory: pathlib.Path, ignore: list[str] | None = None) -> None:
        """Compares every byte of a finished download; `ignore` names what else may be in its folder."""
        if problems := differences(payload.root, directory, ignore=ignore):
            raise Failed("; ".join(problems[:4]))

    # Waiting.

    def wait(self, condition: Callable[[], object], what: str | Callable[[], str]) -> None:
        """Waits until the condition holds; the scenario's deadline ends all waiting."""
        while not condition():
            self._check(what)
            time.sleep(0.05)

    def pause(self, seconds: float) -> None:
        """Lets time pass."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, "time passes")

    def wait_for_listener(self, process: Process, host: Host, port: int) -> None:
        """Waits until a process listens at its host's address."""
        self.wait(lambda: _listens(host, host.address, port) or self._ended(process), f"{process.name} listens")

    def finish(self, process: Process, expect: int | None = None) -> Process:
        """Waits until a process ends, never with a panic, and with the exit code expected."""
        self.wait(lambda: process.exit_code is not None, f"{process.name} ends")
        if "panicked" in process.stderr:
            raise Failed(f"{process.name} panicked")
        if expect is not None and process.exit_code != expect:
            raise Failed(f"{process.name}: exit code {process.exit_code} in place of {expect}")
        return process

    def _ended(self, process: Process) -> bool:
        if process.exit_code is not None:
            raise Failed(f"{process.name} ended early with exit code {process.exit_code}")
        return False

    def _check(self, what: str | Callable[[], str] = "") -> None:
        if self.environment.cancelled.is_set():
            raise Cancelled
        if time.monotonic() > self._deadline:
            raise Failed(f"time-out: waited until {what if isinstance(what, str) else what()}")

    def report(self) -> str:
        """The ends of all logs, for a failure."""
        return "\n".join(process.tail() for process in self.processes)

    def close(self, keep: bool) -> None:
        """Ends the processes and removes namespaces, and files unless they are to be kept."""
        for process in reversed(self.processes):
            process.kill()
        for closer in reversed(self._closers):
            closer()
        self._network.close()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class Peer:
    """A client that takes part in a transfer."""

    client: Client
    job: Job
    process: Process

    @property
    def at(self) -> str:
        """Its address and port."""
        return f"{self.job.host.address}:{self.job.port}"

    def counts(self) -> dict[str, int]:
        """libtorrent's own figures: `sent`, `received` and `failed` in bytes of payload."""
        lines = self.process.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].endswith("}") else {}

    def sent(self) -> int:
        """Bytes of payload uploaded so far, where this is libtorrent."""
        return self.counts().get("sent", 0)

    def settled(self, lab: Lab) -> int:
        """The same, once it no longer changes: libtorrent adds up its peers' figures every second."""
        last = -1
        while self.sent() != last:
            last = self.sent()
            lab.pause(1.3)
        return last


def mib(size: int) -> str:
    """A size for people."""
    return f"{size / MIB:.1f} MiB"


def authority(address: str, port: int) -> str:
    """Address and port as they stand in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _listens(host: Host, address: str, port: int) -> bool:
    with host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
