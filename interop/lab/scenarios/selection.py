"""Some files of a torrent: no others appear, and no piece is fetched that holds only others."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from ..lab import Lab, Peer, mib
from ..outcome import Failed
from ..payload import Payload
from ..torrent import Torrent
from .base import Scenario

#: Files of the tree, and what selects them. Their first and last pieces are shared with neighbours.
BY_NAME = (["nested/many pieces.bin", "zz last.bin"], ("--match", "many*.bin", "--match", "zz *"))
BY_FOLDER = (["nested/deeper/border.bin", "nested/deeper/deepest/small.bin"], ("--match", "nested/deeper"))


def scenarios(quick: bool) -> Iterator[Scenario]:
    """By name, by folder and by number, with the torrent file and with the link; then all the rest."""
    del quick
    yield Scenario("selection/by-name/then-all", lambda lab: _select(lab, *BY_NAME))
    yield Scenario("selection/by-folder/magnet/then-all", lambda lab: _select(lab, *BY_FOLDER, magnet=True))
    yield Scenario("selection/by-number/then-all", _by_number)
    yield Scenario("selection/sequential", _sequential)


def _by_number(lab: Lab) -> str:
    payload = lab.payload("tree")
    paths = [file.relative_to(payload.path).as_posix() for file in payload.files]
    wanted = [paths[2], *paths[5:8]]
    return _select(lab, wanted, ("--files", "3,6-8"))


def _select(lab: Lab, wanted: list[str], options: tuple[str, ...], magnet: bool = False) -> str:
    payload = lab.payload("tree")
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload)
    out = lab.folder("downloaded")
    source = torrent.magnet() if magnet else torrent.file
    fetched = _download(lab, source, seeder, out, *options)
    found = {path.relative_to(out / payload.name).as_posix() for path in (out / payload.name).rglob("*") if path.is_file()}
    if found != set(wanted):
        raise Failed(f"on disk are {sorted(found)} in place of {sorted(wanted)}")
    for path in wanted:
        if (out / payload.name / path).read_bytes() != (payload.path / path).read_bytes():
            raise Failed(f"{path} differs")
    needed = sum(torrent.lengths()[piece] for piece in _pieces(torrent, payload, wanted))
    if fetched != needed:
        raise Failed(f"fetched {fetched} bytes in place of {needed}, the pieces of the files selected")
    rest = _download(lab, source, seeder, out)
    lab.compare(payload, out)
    if rest > payload.size - fetched:
        raise Failed(f"fetched {rest} bytes more, although {fetched} of {payload.size} were there")
    return f"{mib(fetched)} for {len(wanted)} files, then {mib(rest)}"


def _download(lab: Lab, source: object, seeder: Peer, out: pathlib.Path, *options: str) -> int:
    before = seeder.settled(lab)
    lab.finish(lab.rustor("download", source, "-o", out, "--peer", seeder.at, *options), expect=0)
    return seeder.settled(lab) - before


def _pieces(torrent: Torrent, payload: Payload, wanted: list[str]) -> set[int]:
    """The pieces that hold any of these files."""
    pieces: set[int] = set()
    start = 0
    for file in payload.files:
        end = start + file.stat().st_size
        if file.relative_to(payload.path).as_posix() in wanted and end > start:
            pieces.update(range(start // torrent.piece_length, (end - 1) // torrent.piece_length + 1))
        start = end
    return pieces


def _sequential(lab: Lab) -> str:
    """What has come at any moment is the beginning of the file, but for what is under way."""
    payload = lab.large()
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload, upload_limit=payload.size // 4)
    out = lab.folder("downloaded")
    process = lab.rustor("download", torrent.file, "-o", out, "--peer", seeder.at, "--sequential")
    pieces, furthest = len(torrent.lengths()), 0
    while process.exit_code is None:
        lab.pause(0.3)
        missing = torrent.missing(out)
        if not missing:
            break
        there = set(range(pieces)) - set(missing)
        if there:
            # The disk's workers may finish out of order.
            furthest = max(furthest, max(there) - missing[0])
    lab.finish(process, expect=0)
    lab.compare(payload, out)
    if furthest > 32:
        raise Failed(f"a piece came {furthest} places before its turn, of {pieces}")
    return f"no piece came more than {max(furthest, 0)} places before its turn, of {pieces}"
