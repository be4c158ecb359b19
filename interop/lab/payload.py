"""What is transferred: payloads that are the same on every machine, and the comparison of every byte."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import random
import threading
from collections.abc import Callable

MIB = 1 << 20
PIECE = 32 * 1024
BLOCK = 16 * 1024


@dataclasses.dataclass(frozen=True)
class Payload:
    """A folder that holds one entry, `name`, which is what a torrent describes."""

    root: pathlib.Path
    name: str
    piece_length: int

    @property
    def path(self) -> pathlib.Path:
        """The file or folder itself."""
        return self.root / self.name

    @property
    def files(self) -> list[pathlib.Path]:
        """All files, in the order in which a torrent lists them."""
        if self.path.is_file():
            return [self.path]
        found = [pathlib.Path(top) / name for top, _, names in os.walk(self.path) for name in names]
        return sorted(found, key=lambda file: [part.encode() for part in file.parts])

    @property
    def size(self) -> int:
        """The sum of all files, in bytes."""
        return sum(file.stat().st_size for file in self.files)


class Payloads:
    """Makes each payload once for a run."""

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._made: dict[str, Payload] = {}

    def large(self, mib: int) -> Payload:
        """One file of `mib` MiB and a bit, so that its last piece and last block are short."""
        return self._make(f"large-{mib}", lambda root: _large(root, mib))

    def tree(self) -> Payload:
        """Nested folders and every kind of file that implementations stumble over."""
        return self._make("tree", _tree)

    def _make(self, key: str, maker: Callable[[pathlib.Path], Payload]) -> Payload:
        with self._lock:
            if key not in self._made:
                root = self._root / key
                root.mkdir(parents=True)
                self._made[key] = maker(root)
            return self._made[key]


def _large(root: pathlib.Path, mib: int) -> Payload:
    source = random.Random(mib)
    with open(root / "large.bin", "wb") as file:
        for _ in range(mib):
            file.write(source.randbytes(MIB))
        file.write(source.randbytes(12_345))
    return Payload(root, "large.bin", 64 * 1024 if mib < 64 else 256 * 1024)


# Sizes are chosen so that pieces hold several files, files hold several pieces, and both borders coincide.
TREE = {
    "00 aligned.bin": 4 * PIECE,
    "01 shorter than a block.txt": 100,
    "02 empty.dat": 0,
    "03 one byte": 1,
    "04 block.bin": BLOCK,
    "nested/deeper/deepest/small.bin": 5_000,
    "nested/deeper/border.bin": 3 * PIECE + 1,
    "nested/empty too": 0,
    "nested/many pieces.bin": 40 * PIECE + 777,
    "cafe\u0301/combining e\u0301.txt": 2_345,
    "café/composed é.txt": 2_345,
    "日本語/東京タワー.bin": PIECE - 1,
    "emoji 🦀/👩🏽 skin tone.bin": PIECE + 1,
    "Ελληνικά и кириллица.txt": 12,
    "quotes ' and % signs & more #1 + [x].txt": 321,
    "zz last.bin": 7 * PIECE + 3,
}


def _tree(root: pathlib.Path) -> Payload:
    source = random.Random(2)
    name = "tree of ünïcode"
    for path, size in TREE.items():
        file = root / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.randbytes(size))
    # The same content twice: equal pieces at two places.
    (root / name / "00 aligned copy.bin").write_bytes((root / name / "00 aligned.bin").read_bytes())
    return Payload(root, name, PIECE)


def differences(
    expected: pathlib.Path, actual: pathlib.Path, empty_files: bool = True, ignore: list[str] | None = None
) -> list[str]:
    """How the tree at `actual` differs from the one at `expected`: content, missing entries and additional ones.

    Without `empty_files`, files of length zero may be missing: not every client creates them. Entries of `actual`
    that `ignore` names are not looked at.
    """
    wanted = _entries(expected)
    found = {path: kind for path, kind in _entries(actual).items() if path.split("/")[0] not in (ignore or [])}
    result = [f"additional: {path}" for path in sorted(found.keys() - wanted.keys())]
    for path in sorted(wanted):
        kind = wanted[path]
        if path not in found:
            if kind != "0 bytes" or empty_files:
                result.append(f"missing: {path}")
        elif found[path] != kind:
            result.append(f"{path}: {found[path]} in place of {kind}")
        elif kind != "folder" and not _same(expected / path, actual / path):
            result.append(f"content differs: {path}")
    return result


def _entries(root: pathlib.Path) -> dict[str, str]:
    entries = {}
    for top, folders, files in os.walk(root):
        for name in folders + files:
            path = pathlib.Path(top) / name
            if path.is_symlink():
                kind = "symbolic link"
            elif path.is_dir():
                kind = "folder"
            else:
                try:
                    kind = f"{path.stat().st_size} bytes"
                except FileNotFoundError:  # renamed while we look
                    continue
            entries[str(path.relative_to(root))] = kind
    return entries


def _same(left: pathlib.Path, right: pathlib.Path) -> bool:
    try:
        with open(left, "rb") as a, open(right, "rb") as b:
            while True:
                one, two = a.read(MIB), b.read(MIB)
                if one != two:
                    return False
                if not one:
                    return True
    except FileNotFoundError:
        return False
