"""How each BitTorrent client is told to seed or to leech one torrent, with discovery off: peers come from trackers.

Who leeches has a torrent file or a magnet link; who seeds always has the file.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import pathlib
import shutil
import sys

from .net import Host

LAB = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Job:
    """One client's part in a transfer."""

    torrent: pathlib.Path
    directory: pathlib.Path
    port: int
    host: Host
    state: pathlib.Path
    peers: tuple[str, ...] = ()
    upload_limit: int = 0
    #: What a leecher is given in place of the torrent file.
    magnet: str = ""
    #: Further words for the command line of `rustor`.
    options: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What a leecher is given."""
        return self.magnet or str(self.torrent)


class Client:
    """A make of client. `seed` and `leech` give the command line."""

    name: str
    #: Exits with code 0 once its download is complete and verified.
    exits_when_done = False
    #: Creates files of length zero.
    empty_files = True
    #: Takes peers at one address for one peer, whatever their ports.
    needs_own_address = False

    def missing(self) -> str | None:
        """Why the client cannot run here, or None."""
        return None

    def seed(self, job: Job) -> list[str]:
        """Serves what is in the job's directory."""
        raise NotImplementedError

    def leech(self, job: Job) -> list[str]:
        """Downloads into the job's directory."""
        raise NotImplementedError

    def started(self, job: Job) -> bool:
        """Whether the running client has taken its job; called until it has."""
        del job
        return True


class Rustor(Client):
    """Our own."""

    name = "rustor"
    exits_when_done = True

    def __init__(self, binary: pathlib.Path) -> None:
        self.binary = binary

    def missing(self) -> str | None:
        return None if self.binary.is_file() else f"{self.binary} is not built"

    def seed(self, job: Job) -> list[str]:
        command = [str(self.binary), "seed", str(job.torrent), str(job.directory)]
        return [*command, "--port", str(job.port), *job.options]

    def leech(self, job: Job) -> list[str]:
        peers = [word for peer in job.peers for word in ("--peer", peer)]
        command = [str(self.binary), "download", job.source, "-o", str(job.directory)]
        return [*command, "--port", str(job.port), *peers, *job.options]


class AsyncStd(Client):
    """Our own engine on its other host: the example of `runtime-async-std`."""

    name = "async-std"
    exits_when_done = True

    def __init__(self, binary: pathlib.Path) -> None:
        self.binary = binary

    def missing(self) -> str | None:
        return None if self.binary.is_file() else f"{self.binary} is not built"

    def seed(self, job: Job) -> list[str]:
        return [*self.leech(job), "--seed"]

    def leech(self, job: Job) -> list[str]:
        peers = [word for peer in job.peers for word in ("--peer", peer)]
        return [str(self.binary), job.source, str(job.directory), "--port", str(job.port), *peers]


class Libtorrent(Client):
    """libtorrent by its Python binding."""

    name = "libtorrent"

    def __init__(self, modules: pathlib.Path) -> None:
        self._modules = modules

    def missing(self) -> str | None:
        return None if self._modules.is_dir() else "libtorrent's Python binding is not installed"

    def run(self, *arguments: str) -> list[str]:
        """A command line of `libtorrent_client.py`."""
        path = f"PYTHONPATH={self._modules}"
        return ["env", path, sys.executable, str(LAB / "libtorrent_client.py"), *arguments]

    def seed(self, job: Job) -> list[str]:
        return self._transfer("seed", job)

    def leech(self, job: Job) -> list[str]:
        return self._transfer("leech", job)

    def _transfer(self, role: str, job: Job) -> list[str]:
        peers = [word for peer in job.peers for word in ("--peer", peer)]
        limit = ["--upload-limit", str(job.upload_limit)] if job.upload_limit else []
        source = job.source if role == "leech" else str(job.torrent)
        return self.run(role, source, str(job.directory), "--port", str(job.port), *limit, *peers)


class Aria2(Client):
    """aria2c."""

    name = "aria2"
    exits_when_done = True

    def missing(self) -> str | None:
        return None if shutil.which("aria2c") else "aria2c is not installed"

    def seed(self, job: Job) -> list[str]:
        return [*self._command(job), "--check-integrity=true", "--seed-ratio=0.0", str(job.torrent)]

    def leech(self, job: Job) -> list[str]:
        return [*self._command(job), "--seed-time=0", job.source]

    def _command(self, job: Job) -> list[str]:
        # With this client trackers over UDP come with the DHT, which finds nobody in the lab.
        dht = "true" if "udp%3A" in job.magnet else "false"
        command = ["aria2c", "--no-conf", f"--enable-dht={dht}", "--enable-dht6=false", "--disable-ipv6=true"]
        command += ["--bt-enable-lpd=false", "--bt-max-peers=0", "--file-allocation=none"]
        command += ["--console-log-level=notice", "--summary-interval=0", "--enable-color=false"]
        return [*command, f"--listen-port={job.port}", "-d", str(job.directory)]


class Transmission(Client):
    """transmission-daemon, fed with torrents through its watch folder, and with links through its remote control."""

    name = "transmission"
    empty_files = False
    needs_own_address = True

    def missing(self) -> str | None:
        return None if shutil.which("transmission-daemon") else "transmission-daemon is not installed"

    def seed(self, job: Job) -> list[str]:
        return self._command(job)

    def leech(self, job: Job) -> list[str]:
        return self._command(job)

    def started(self, job: Job) -> bool:
        return not job.magnet or self._adds(job)

    def _adds(self, job: Job) -> bool:
        settings = json.loads((job.state / "settings.json").read_text())
        request = json.dumps({"method": "torrent-add", "arguments": {"filename": job.magnet}})
        headers: dict[str, str] = {}
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", settings["rpc-port"])
            try:
                connection.sock = job.host.socket()
                connection.sock.settimeout(5)
                connection.sock.connect(("127.0.0.1", settings["rpc-port"]))
                connection.request("POST", "/transmission/rpc", request, headers)
                response = connection.getresponse()
                if response.status == 200:
                    return json.loads(response.read())["result"] == "success"
                # The first answer is a token to show with the second request.
                headers = {"X-Transmission-Session-Id": response.headers.get("X-Transmission-Session-Id", "")}
            except OSError:
                return False
            finally:
                connection.close()
        return False

    def _command(self, job: Job) -> list[str]:
        watch = job.state / "watch"
        watch.mkdir(parents=True)
        if not job.magnet:
            shutil.copy(job.torrent, watch / "job.torrent")
        settings = {
            "dht-enabled": False,
            "encryption": 0,
            "lpd-enabled": False,
            "peer-port": job.port,
            "pex-enabled": False,
            "port-forwarding-enabled": False,
            "preallocation": 0,
            "rpc-bind-address": "127.0.0.1",
            "rpc-enabled": bool(job.magnet),
            "rpc-port": job.host.free_port(),
            "utp-enabled": False,
            "watch-dir": str(watch),
            "watch-dir-enabled": True,
        }
        (job.state / "settings.json").write_text(json.dumps(settings))
        command = ["transmission-daemon", "--foreground", "--log-info", "--config-dir", str(job.state)]
        return [*command, "--download-dir", str(job.directory)]
