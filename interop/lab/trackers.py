"""Trackers: the two real ones as processes, and one of our own that records, or misbehaves."""

from __future__ import annotations

import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import urllib.parse

from .net import Host
from .torrent import decode, encode


def opentracker(host: Host, port: int, state: pathlib.Path, info_hashes: list[bytes]) -> list[str]:
    """opentracker's command line. Debian builds it to serve a white-list only."""
    state.mkdir(parents=True)
    allowed = state / "allowed"
    allowed.write_text("".join(f"{info_hash.hex()}\n" for info_hash in info_hashes))
    for folder in (state, allowed):
        folder.chmod(0o755)
    command = ["opentracker", "-i", host.address, "-p", str(port), "-P", str(port), "-d", str(state)]
    usage = subprocess.run(["opentracker", "-h"], capture_output=True, text=True, check=False)
    if "whitelist" in usage.stdout + usage.stderr:
        # As root it makes its folder the root of its file system.
        command += ["-w", "/allowed" if os.geteuid() == 0 else str(allowed)]
    return command


def opentracker_missing() -> str | None:
    """Why opentracker cannot run here, or None."""
    return None if shutil.which("opentracker") else "opentracker is not installed"


def scrape(host: Host, address: str, port: int, info_hash: bytes) -> dict[bytes, int]:
    """The tracker's counts for a torrent; empty where it knows nothing or does not answer yet."""
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.sock = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        connection.sock.settimeout(2)
        connection.sock.connect((address, port))
        connection.request("GET", "/scrape?info_hash=" + urllib.parse.quote_from_bytes(info_hash, safe=""))
        return decode(connection.getresponse().read()).get(b"files", {}).get(info_hash, {})
    except (OSError, ValueError, http.client.HTTPException, AttributeError, IndexError):
        return {}
    finally:
        connection.close()


class ScriptedTracker:
    """An HTTP tracker in this script, which answers as `behaviour` says and records every announce.

    `peers` gives the peers it was made with, `garbage` is no bencode, `not-found` is status 404,
    `failure` is a failure reason, `file` is the file given, and `never` keeps the connection open without a word.
    """

    def __init__(self, host: Host, behaviour: str, file: pathlib.Path | None = None) -> None:
        self.behaviour = behaviour
        self._file = file
        self.announces: list[dict[str, str]] = []
        self.set_peers([])
        self._listener = host.listen()
        self._open: list[socket.socket] = []
        address, port = self._listener.getsockname()
        self.url = f"http://{address}:{port}/announce"
        threading.Thread(target=self._serve, daemon=True).start()

    def set_peers(self, peers: list[tuple[str, int]]) -> None:
        """The peers to give out."""
        self._peers = b"".join(socket.inet_aton(address) + port.to_bytes(2) for address, port in peers)

    def events(self) -> list[str]:
        """The `event` of each announce, empty for a regular one."""
        return [announce.get("event", "") for announce in self.announces]

    def close(self) -> None:
        """Stops serving."""
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(30)
            request = b""
            while b"\r\n\r\n" not in request:
                received = connection.recv(4096)
                if not received:
                    return
                request += received
            target = request.split(b" ", 2)[1].decode("latin-1")
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query, encoding="latin-1")
            self.announces.append({key: values[0] for key, values in query.items()})
            if self.behaviour == "never":
                return
            connection.sendall(self._response())
            connection.close()
        except OSError:
            pass

    def _response(self) -> bytes:
        status, body = "200 OK", encode({"interval": 1800, "peers": self._peers})
        match self.behaviour:
            case "garbage":
                body = b"<html><body>Welcome to the login page of this hotel</body></html>"
            case "not-found":
                status, body = "404 Not Found", b"no such page"
            case "file":
                body = self._file.read_bytes() if self._file else b""
            case "failure":
                body = encode({"failure reason": "this torrent is not for you"})
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return head.encode() + body
