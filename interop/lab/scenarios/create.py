"""Torrents made by `rustor create`: equal to another maker's, and accepted by the other clients."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..clients import Libtorrent
from ..lab import Lab
from ..outcome import Failed, Skipped
from ..payload import Payload
from ..torrent import Torrent
from .base import OTHERS, Scenario


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Creation, reading back, and use."""
    del quick
    for payload in ("large", "tree"):
        yield Scenario(f"create/{payload}/same-info-hash-as-libtorrent", lambda lab, p=payload: _compare(lab, p, False))
        yield Scenario(f"create/{payload}/reproducible", lambda lab, p=payload: _reproducible(lab, p))
    yield Scenario("create/large/private-same-info-hash", lambda lab: _compare(lab, "large", True))
    for other in OTHERS:
        yield Scenario(f"create/tree/served-to-{other}", lambda lab, o=other: _use(lab, o))


def _create(lab: Lab, payload: Payload, out: str, *options: object) -> Torrent:
    file = lab.directory / out
    lab.finish(lab.rustor("create", payload.path, "-o", file, "-p", payload.piece_length, *options), expect=0)
    return Torrent.read(file)


def _compare(lab: Lab, name: str, private: bool) -> str:
    client = lab.environment.client("libtorrent")
    if missing := client.missing():
        raise Skipped(missing)
    assert isinstance(client, Libtorrent)
    payload = lab.payload(name)
    url = "http://tracker.example/announce"
    ours = _create(lab, payload, "ours.torrent", "-t", url, "--comment", "naïve", *(["--private"] if private else []))
    shown = lab.finish(lab.rustor("show", ours.file, "--json"), expect=0)
    facts = json.loads(shown.stdout)
    _expect("info_hash", facts["info_hash"], ours.info_hash.hex())
    _expect("total_length", facts["total_length"], payload.size)
    _expect("pieces", facts["pieces"], len(ours.info[b"pieces"]) // 20)
    _expect("piece_length", facts["piece_length"], payload.piece_length)
    _expect("trackers", facts["trackers"], [[url]])
    _expect("comment", facts["comment"], "naïve")
    _expect("private", facts["private"], private)
    # The order of files is the maker's choice: libtorrent is given ours.
    prefix = "" if payload.path.is_file() else f"{payload.name}/"
    files = [f"--file={file['length']}:{prefix}{'/'.join(file['path'])}" for file in facts["files"]]
    theirs = lab.directory / "theirs.torrent"
    command = client.run("create", str(payload.root), str(payload.piece_length), str(theirs), *files)
    lab.finish(lab.start("libtorrent-create", command + (["--private"] if private else []), lab.host("maker")), expect=0)
    _expect("libtorrent's info-hash", Torrent.read(theirs).info_hash.hex(), ours.info_hash.hex())
    return ours.info_hash.hex()


def _reproducible(lab: Lab, name: str) -> None:
    payload = lab.payload(name)
    first, second = (_create(lab, payload, out) for out in ("first.torrent", "second.torrent"))
    if first.file.read_bytes() != second.file.read_bytes():
        raise Failed("two runs wrote different bytes")
    if problems := first.missing(payload.root):
        raise Failed(f"wrong hashes for pieces {problems[:8]}")


def _use(lab: Lab, leecher: str) -> None:
    payload = lab.payload("tree")
    tracker = lab.tracker_at("rustor")
    torrent = _create(lab, payload, "job.torrent", "-t", tracker.url)
    lab.open_tracker("rustor", tracker)
    lab.seeder("rustor", torrent, payload, tracker)
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded")), payload)


def _expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise Failed(f"{what} is {got!r} in place of {wanted!r}")
