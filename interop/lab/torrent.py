"""Torrent files made and read here, so that neither end of a transfer vouches for its own."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from .payload import Payload


def encode(value: Any) -> bytes:
    """Canonical bencode of integers, bytes, strings, lists and dictionaries."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            return encode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l%se" % b"".join(map(encode, value))
        case dict():
            pairs = sorted((key.encode() if isinstance(key, str) else key, item) for key, item in value.items())
            return b"d%se" % b"".join(encode(key) + encode(item) for key, item in pairs)
    raise TypeError(type(value))


def decode(data: bytes) -> Any:
    """The value in `data`, whose dictionaries have bytes as keys."""
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after the value")
    return value


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items: list[Any] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


@dataclasses.dataclass(frozen=True)
class Torrent:
    """A torrent file on disk."""

    file: pathlib.Path
    info: dict[bytes, Any]
    info_hash: bytes

    @classmethod
    def read(cls, file: pathlib.Path) -> Torrent:
        """Reads a torrent file that someone else made. It must be canonical bencode."""
        info = decode(file.read_bytes())[b"info"]
        return cls(file, info, hashlib.sha1(encode(info)).digest())

    @classmethod
    def make(cls, payload: Payload, file: pathlib.Path, trackers: list[str], web_seeds: list[str]) -> Torrent:
        """Writes a version 1 torrent of `payload`."""
        file.write_bytes(encode(metainfo(info_of(payload), trackers, web_seeds)))
        return cls.read(file)

    @property
    def piece_length(self) -> int:
        """The length of every piece but the last."""
        return int(self.info[b"piece length"])

    def lengths(self) -> list[int]:
        """The length of each piece."""
        size = self.info.get(b"length") or sum(file[b"length"] for file in self.info.get(b"files", []))
        return [min(self.piece_length, size - start) for start in range(0, size, self.piece_length)]

    def missing(self, directory: pathlib.Path) -> list[int]:
        """The pieces that are not, or not correctly, on disk below `directory`."""
        hashes = self.info[b"pieces"]
        found = _hashes(self._content(directory), self.piece_length)
        return [index for index in range(len(hashes) // 20) if found[index] != hashes[20 * index : 20 * index + 20]]

    def _content(self, directory: pathlib.Path) -> Iterator[bytes]:
        top = directory / self.info[b"name"].decode()
        files = self.info.get(b"files")
        spans = [(top, self.info[b"length"])] if files is None else [
            (top.joinpath(*(part.decode() for part in file[b"path"])), file[b"length"]) for file in files
        ]
        for path, length in spans:
            there = path.read_bytes()[:length] if path.is_file() else b""
            yield there + bytes(length - len(there))


def info_of(payload: Payload) -> dict[str, Any]:
    """The info dictionary of a payload."""
    contents = (file.read_bytes() for file in payload.files)
    info: dict[str, Any] = {
        "name": payload.name,
        "piece length": payload.piece_length,
        "pieces": b"".join(_hashes(contents, payload.piece_length)),
    }
    if payload.path.is_file():
        info["length"] = payload.size
    else:
        info["files"] = [
            {"length": file.stat().st_size, "path": list(file.relative_to(payload.path).parts)} for file in payload.files
        ]
    return info


def metainfo(info: dict[str, Any], trackers: list[str], web_seeds: list[str] | None = None) -> dict[str, Any]:
    """The outer dictionary around an info dictionary."""
    outer: dict[str, Any] = {"info": info, "creation date": 1_700_000_000}
    if trackers:
        outer["announce"] = trackers[0]
    if web_seeds:
        outer["url-list"] = web_seeds
    if len(trackers) > 1:
        outer["announce-list"] = [[url] for url in trackers]
    return outer


def _hashes(contents: Iterable[bytes], piece_length: int) -> list[bytes]:
    hashes, rest = [], bytearray()
    for content in contents:
        rest += content
        whole = len(rest) - len(rest) % piece_length
        hashes += [hashlib.sha1(rest[at : at + piece_length]).digest() for at in range(0, whole, piece_length)]
        del rest[:whole]
    if rest:
        hashes.append(hashlib.sha1(rest).digest())
    return hashes
