"""Peers on raw sockets that break the protocol, each in one way; and an honest one to compare with."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator

from .net import Host
from .torrent import Torrent

CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, PIECE = 0, 1, 2, 4, 5, 6, 7

#: What each kind does, and whether its victim has to end the connection over it.
KINDS = {
    "other-torrent": True,  # a handshake with another info-hash
    "not-bittorrent": True,  # an HTTP answer in place of the handshake
    "bitfield-spare-bits": True,  # bits set beyond the last piece
    "bitfield-too-long": True,
    "bitfield-too-short": True,
    "have-out-of-range": True,
    "huge-message": True,  # a length prefix of 2 GiB - 1
    "request-beyond-piece": False,  # past a piece's end, past the last piece, and of 1 GiB
    "unasked-piece": False,  # blocks nobody requested, with wrong content
    "corrupt-pieces": False,  # serves every request with random bytes
    "silence": False,  # not even a handshake
}


class RudePeer:
    """One such peer. It listens from the start; `dial` makes it the one who calls."""

    def __init__(self, host: Host, kind: str, torrent: Torrent, content: bytes = b"") -> None:
        self.kind = kind
        #: Connections so far, and how many of them the other side has closed.
        self.connections = 0
        self.closed = 0
        #: Set where the victim answered a request it should have refused.
        self.served: str | None = None
        self._torrent = torrent
        self._content = content
        self._random = random.Random(kind)
        self._host = host
        self._sockets = [host.listen()]
        self.address: tuple[str, int] = self._sockets[0].getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def dial(self, address: str, port: int) -> None:
        """Connects and misbehaves there."""
        connection = self._host.socket()
        connection.settimeout(10)
        connection.connect((address, port))
        self._start(connection)

    def close(self) -> None:
        """Ends all connections."""
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._sockets[0].accept()
            except OSError:
                return
            self._start(connection)

    def _start(self, connection: socket.socket) -> None:
        self.connections += 1
        self._sockets.append(connection)
        threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(120)
        try:
            self._misbehave(connection)
            while connection.recv(1 << 16):
                pass
            self.closed += 1
        except (ConnectionError, EOFError):
            self.closed += 1
        except OSError:  # the time-out, or our own close
            pass

    def _misbehave(self, connection: socket.socket) -> None:
        pieces = len(self._torrent.info[b"pieces"]) // 20
        full = bytearray(b"\xff" * (pieces // 8))
        if pieces % 8:
            full.append(0xFF << (8 - pieces % 8) & 0xFF)
        match self.kind:
            case "silence":
                return
            case "not-bittorrent":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 4)
                return
        info_hash = self._torrent.info_hash
        wrong = info_hash[::-1] if self.kind == "other-torrent" else info_hash
        peer_id = b"-RU0001-" + self._random.randbytes(12)
        connection.sendall(b"\x13BitTorrent protocol" + bytes(8) + wrong + peer_id)
        match self.kind:
            case "other-torrent":
                return
            case "bitfield-spare-bits":
                spare = bytes(full[:-1]) + b"\xff" if pieces % 8 else bytes(full) + b"\xff"
                connection.sendall(_message(BITFIELD, spare))
                return
            case "bitfield-too-long":
                connection.sendall(_message(BITFIELD, bytes(full) + b"\0\0"))
                return
            case "bitfield-too-short":
                connection.sendall(_message(BITFIELD, bytes(full[:-1])))
                return
        connection.sendall(_message(BITFIELD, bytes(full)))
        match self.kind:
            case "have-out-of-range":
                connection.sendall(_message(HAVE, struct.pack(">I", pieces)))
            case "huge-message":
                connection.sendall(struct.pack(">IB", 0x7FFF_FFFF, PIECE))
                for _ in range(64):
                    connection.sendall(bytes(1 << 16))
            case "unasked-piece":
                for index in range(min(4, pieces)):
                    connection.sendall(_block(index, 0, self._random.randbytes(16384)))
            case "request-beyond-piece":
                connection.sendall(_message(INTERESTED))
                self._ask_too_much(connection, pieces)
            case "corrupt-pieces" | "honest":
                connection.sendall(_message(UNCHOKE))
                self._serve(connection)

    def _ask_too_much(self, connection: socket.socket, pieces: int) -> None:
        length = self._torrent.piece_length
        for kind, payload in _messages(connection):
            if kind == UNCHOKE:
                for request in ((0, length - 10, 16384), (pieces, 0, 16384), (0, 0, 1 << 30), (0, 0xFFFF_FFF0, 64)):
                    connection.sendall(_message(REQUEST, struct.pack(">III", *request)))
            elif kind == PIECE:
                index, begin = struct.unpack(">II", payload[:8])
                self.served = f"piece {index}, offset {begin}, {len(payload) - 8} bytes"

    def _serve(self, connection: socket.socket) -> None:
        for kind, payload in _messages(connection):
            if kind == REQUEST:
                index, begin, length = struct.unpack(">III", payload)
                start = index * self._torrent.piece_length + begin
                honest = self._content[start : start + length]
                block = honest if self.kind == "honest" else self._random.randbytes(length)
                connection.sendall(_block(index, begin, block))


def _message(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IB", 1 + len(payload), kind) + payload


def _block(index: int, begin: int, block: bytes) -> bytes:
    return _message(PIECE, struct.pack(">II", index, begin) + block)


def _messages(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The messages after the other side's handshake."""
    _exactly(connection, 68)
    while True:
        length = int.from_bytes(_exactly(connection, 4))
        if length:
            body = _exactly(connection, length)
            yield body[0], body[1:]


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        received = connection.recv(count - len(data))
        if not received:
            raise EOFError
        data += received
    return data
