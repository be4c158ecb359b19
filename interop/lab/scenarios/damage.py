"""Data on disk that is damaged, and disks that are full: nothing is believed, nothing is lost."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterator

from ..lab import Lab, Peer, mib
from ..outcome import Failed, Skipped
from ..payload import Payload
from ..torrent import Torrent
from .base import Scenario


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Damaged payload, damaged resume data, a full disk."""
    del quick
    for payload in ("large", "tree"):
        yield Scenario(f"damage/{payload}/flip-truncate-delete", lambda lab, p=payload: _damage(lab, p), 90)
    yield Scenario("damage/tree/resume-data-broken", _broken_resume_data, 90)
    yield Scenario("damage/large/disk-full", _disk_full, 120)


def _downloaded(lab: Lab, payload: Payload) -> tuple[Torrent, Peer, pathlib.Path]:
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload)
    out = lab.folder("downloaded")
    download(lab, torrent, payload, seeder, out)
    lab.finish(lab.rustor("verify", torrent.file, out), expect=0)
    return torrent, seeder, out


def download(lab: Lab, torrent: Torrent, payload: Payload, seeder: Peer, out: pathlib.Path) -> int:
    """Runs the same download once more to its end, and gives the bytes that the seeder sent for it."""
    before = seeder.settled(lab)
    lab.finish(lab.rustor("download", torrent.file, "-o", out, "--peer", seeder.at), expect=0)
    lab.compare(payload, out)
    return seeder.settled(lab) - before


def _damage(lab: Lab, name: str) -> str:
    payload = lab.payload(name)
    torrent, seeder, out = _downloaded(lab, payload)
    damaged = _harm_tree(out / payload.name) if name == "tree" else _harm_file(out / payload.name)
    missing = torrent.missing(out)
    if not missing:
        raise Failed("the lab damaged nothing")
    verify = lab.finish(lab.rustor("verify", torrent.file, out), expect=3)
    for path in damaged:
        if path.name not in verify.stdout + verify.stderr:
            raise Failed(f"verify does not name {path.name}")
    wanted = sum(torrent.lengths()[index] for index in missing)
    fetched = download(lab, torrent, payload, seeder, out)
    if fetched != wanted:
        raise Failed(f"fetched {fetched} bytes in place of {wanted}, the {len(missing)} damaged pieces")
    return f"{len(missing)} damaged pieces fetched again, {mib(wanted)}"


def _harm_tree(root: pathlib.Path) -> list[pathlib.Path]:
    flipped, cut, gone = root / "nested/many pieces.bin", root / "zz last.bin", root / "04 block.bin"
    _flip(flipped, 500_000)
    with open(cut, "r+b") as file:
        file.truncate(cut.stat().st_size // 2)
    gone.unlink()
    return [flipped, cut, gone]


def _harm_file(path: pathlib.Path) -> list[pathlib.Path]:
    _flip(path, path.stat().st_size // 3)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 300_000)
    return [path]


def _flip(path: pathlib.Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def _broken_resume_data(lab: Lab) -> str:
    payload = lab.payload("tree")
    torrent, seeder, out = _downloaded(lab, payload)
    state = [path for path in lab.folder("state-rustor").rglob("*") if path.is_file()]
    for make_bad in (lambda data: data[: len(data) // 2], lambda data: b"", lambda data: bytes(byte ^ 0x55 for byte in data)):
        for path in state:
            path.write_bytes(make_bad(path.read_bytes()) if path.exists() else b"")
        if fetched := download(lab, torrent, payload, seeder, out):
            raise Failed(f"fetched {fetched} bytes although all was there")
    return f"{len(state)} files of state"


def _disk_full(lab: Lab) -> str:
    payload = lab.large()
    disk = lab.folder("disk")
    small, roomy = payload.size // 2, payload.size * 2
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={small}", "lab", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        raise Skipped("may not mount a small file system")
    lab.on_close(lambda: subprocess.run(["umount", "--lazy", str(disk)], check=True))
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload)
    full = lab.finish(lab.rustor("download", torrent.file, "-o", disk, "--peer", seeder.at), expect=1)
    complaint = [line for line in full.error_lines if payload.name in line and "space" in line.lower()]
    if not complaint:
        raise Failed(f"no line names {payload.name} and the lack of space")
    missing = torrent.missing(disk)
    if len(missing) == len(torrent.lengths()):
        raise Failed("nothing was kept of what had been downloaded")
    subprocess.run(["mount", "-o", f"remount,size={roomy}", str(disk)], check=True)
    fetched = download(lab, torrent, payload, seeder, disk)
    wanted = sum(torrent.lengths()[index] for index in missing)
    if fetched > wanted:
        raise Failed(f"fetched {fetched} bytes although only {wanted} were missing")
    return complaint[0]
