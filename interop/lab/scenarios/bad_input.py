"""Bad input gives one clear line and the right exit code."""

from __future__ import annotations

import json
import pathlib
import signal
from collections.abc import Iterator

from ..lab import Lab
from ..outcome import Failed
from ..payload import MIB, Payload
from ..process import Process
from ..rude_peers import RudePeer
from ..torrent import Torrent, encode, info_of, metainfo
from .base import Scenario

FAILED, USAGE, VERIFICATION = 1, 2, 3
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in</body></html>\n"


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Torrent files, names inside them, the caller's mistakes, trackers."""
    for case in _torrents({"pieces": b"", "piece length": 1, "length": 1}):
        yield Scenario(f"bad-input/torrent/{case}", lambda lab, c=case: _torrent(lab, c), 30)
    for case in HOSTILE_NAMES:
        yield Scenario(f"bad-input/names/{case}", lambda lab, c=case: _names(lab, c), 60)
    yield Scenario("bad-input/caller/usage", _usage, 30)
    yield Scenario("bad-input/caller/no-such-file", _no_such_file, 30)
    yield Scenario("bad-input/caller/output-folder-is-a-file", _output_is_a_file, 30)
    yield Scenario("bad-input/caller/port-in-use", _port_in_use, 30)
    for case in ("garbage", "not-found", "failure"):
        yield Scenario(f"bad-input/torrent-url/{case}", lambda lab, c=case: _url(lab, c), 30)
    if not quick:
        yield Scenario("bad-input/torrent-url/never", lambda lab: _url(lab, "never"), 180)
    for case in ("garbage", "not-found", "failure", "never", "refused"):
        yield Scenario(f"bad-input/tracker/{case}/with-a-peer", lambda lab, c=case: _tracker_and_peer(lab, c), 60)
        if case != "never" or not quick:
            yield Scenario(f"bad-input/tracker/{case}/alone", lambda lab, c=case: _tracker_alone(lab, c), 180)


def _torrents(info: dict) -> dict[str, bytes]:
    def with_info(**changes: object) -> bytes:
        return encode(metainfo(info | {key.replace("_", " "): value for key, value in changes.items()}, []))

    def with_files(*lengths: int) -> bytes:
        files = [{"length": length, "path": [f"file {number}"]} for number, length in enumerate(lengths)]
        many = {key: value for key, value in info.items() if key != "length"} | {"files": files}
        return encode(metainfo(many, []))

    valid = encode(metainfo(info, []))
    return {
        "empty-file": b"",
        "html": HTML,
        "truncated": valid[: len(valid) * 2 // 3],
        "trailing-bytes": valid + b"and more",
        "nested-lists": b"l" * 10_000 + b"e" * 10_000,
        "nested-lists-unclosed": b"d4:info" + b"l" * 10_000,
        "no-info": encode({"announce": "http://tracker.example/announce"}),
        "not-a-dictionary": b"i42e",
        "string-longer-than-the-file": b"d4:info99999999999999999999:x",
        "pieces-no-multiple-of-20": with_info(pieces=info["pieces"] + b"x"),
        "too-few-pieces": with_info(pieces=info["pieces"][20:]) if info["pieces"] else b"",
        "negative-length": with_info(length=-5),
        "negative-length-of-a-file": with_files(10, -5),
        "length-of-2-to-63": with_info(length=1 << 63),
        "total-above-2-to-63": with_files(*[(1 << 62) + 1] * 2),
        "piece-length-zero": with_info(piece_length=0),
        "piece-length-negative": with_info(piece_length=-16384),
        "no-files": with_files(),
    }


def _torrent(lab: Lab, case: str) -> str:
    file = lab.directory / "bad.torrent"
    file.write_bytes(_torrents(info_of(lab.payload("tree" if case == "none" else "large")))[case])
    download = lab.run_rustor("download", file, "-o", lab.folder("downloaded"))
    _one_line(download, FAILED, file.name)
    _one_line(lab.run_rustor("show", file), FAILED, file.name)
    _one_line(lab.run_rustor("verify", file, lab.folder("downloaded")), FAILED, file.name)
    if left := list(lab.folder("downloaded").iterdir()):
        raise Failed(f"left behind: {left[0].name}")
    return download.error_lines[0]


HOSTILE_NAMES: dict[str, dict] = {
    "parent-in-path": {"files": [["..", "..", "etc", "passwd"]]},
    "absolute-path": {"files": [["/etc/passwd"]]},
    "separator-in-path": {"files": [["a/../../../evil"]]},
    "parent-as-name": {"name": "..", "files": [["evil"]]},
    "name-with-parent": {"name": "../../evil"},
    "empty-component": {"files": [["", "evil"]]},
    "same-file-twice": {"files": [["twin"], ["twin"]]},
    "file-and-folder": {"files": [["both"], ["both", "inner"]]},
}


def _names(lab: Lab, case: str) -> str:
    """Such a torrent is refused, or what it names lands inside the output folder under another name."""
    hostile = HOSTILE_NAMES[case]
    content = b"hostile " * 4096
    paths = hostile.get("files")
    info = {"name": hostile.get("name", "innocent"), "piece length": 16384}
    data = content if paths is None else content * len(paths)
    if paths is None:
        info["length"] = len(content)
    else:
        info["files"] = [{"length": len(content), "path": path} for path in paths]
    source = lab.folder("content") / "data"
    source.write_bytes(data)
    info["pieces"] = info_of(Payload(source.parent, "data", 16384))["pieces"]
    file = lab.directory / "hostile.torrent"
    file.write_bytes(encode(metainfo(info, [])))
    torrent = Torrent.read(file)
    seeder = RudePeer(lab.host("seeder"), "honest", torrent, data)
    lab.on_close(seeder.close)
    out = lab.folder("deep") / "deeper" / "downloaded"
    out.mkdir(parents=True)
    peer = f"{seeder.address[0]}:{seeder.address[1]}"
    lab.host("rustor")
    before = _files(lab)
    process = lab.run_rustor("download", file, "-o", out, "--peer", peer)
    escaped = [path for path in _files(lab) - before if out not in path.parents and "state-" not in str(path)]
    if escaped:
        raise Failed(f"written outside of the output folder: {escaped[0]}")
    if process.exit_code == FAILED:
        _one_line(process, FAILED)
        return f"refused: {process.error_lines[0]}"
    lab.finish(process, expect=0)
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    if written != len(data):
        raise Failed(f"{written} bytes on disk in place of {len(data)}: two files share one name")
    shown = json.loads(lab.finish(lab.rustor("show", file, "--json"), expect=0).stdout)
    return f"taken as {shown['name']}: {shown['files'][0]['path']}"


def _files(lab: Lab) -> set[pathlib.Path]:
    return {path for path in lab.directory.rglob("*") if path.is_file() and lab.logs not in path.parents}


def _usage(lab: Lab) -> None:
    for arguments in ((), ("download",), ("nonsense",), ("download", "x.torrent", "--port", "99999"), ("verify", "x.torrent")):
        process = lab.finish(lab.start("rustor-usage", [str(lab.environment.binary), *arguments], lab.host("rustor")), expect=USAGE)
        if not process.error_lines:
            raise Failed(f"{arguments}: nothing on standard error")


def _no_such_file(lab: Lab) -> None:
    payload = lab.large()
    torrent = lab.torrent(payload, [])
    gone = lab.directory / "gone.torrent"
    for arguments in (("download", gone), ("show", gone), ("verify", gone, payload.root), ("seed", gone, payload.root)):
        _one_line(lab.run_rustor(*arguments), FAILED, gone.name)
    _one_line(lab.run_rustor("create", lab.directory / "absent", "-o", lab.directory / "x.torrent"), FAILED, "absent")
    verify = lab.finish(lab.rustor("verify", torrent.file, lab.folder("empty")), expect=VERIFICATION)
    if payload.name not in verify.stdout + verify.stderr:
        raise Failed("verify does not name the missing file")


def _output_is_a_file(lab: Lab) -> None:
    torrent = lab.torrent(lab.large(), [])
    occupied = lab.directory / "occupied"
    occupied.write_text("a file")
    _one_line(lab.run_rustor("download", torrent.file, "-o", occupied), FAILED, occupied.name)


def _port_in_use(lab: Lab) -> None:
    payload = lab.large()
    torrent = lab.torrent(payload, [])
    listener = lab.host("rustor").listen()
    lab.on_close(listener.close)
    address, port = listener.getsockname()
    _one_line(lab.run_rustor("download", torrent.file, "-o", lab.folder("out"), "--port", port), FAILED, str(port))
    _one_line(lab.run_rustor("seed", torrent.file, payload.root, "--port", port), FAILED, str(port))
    _one_line(lab.run_rustor("tracker", "--bind", f"{address}:{port}"), FAILED, str(port))


def _url(lab: Lab, case: str) -> str:
    server = lab.scripted_tracker(case)
    process = lab.run_rustor("download", server.url, "-o", lab.folder("downloaded"))
    _one_line(process, FAILED)
    return process.error_lines[0]


def _tracker_and_peer(lab: Lab, case: str) -> None:
    payload = lab.environment.payloads.large(8)
    torrent = lab.torrent(payload, [_tracker_url(lab, case)])
    seeder = lab.seeder("libtorrent", torrent, payload, upload_limit=4 * MIB)
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded"), peers=(seeder.at,)), payload)


def _tracker_alone(lab: Lab, case: str) -> str:
    url = _tracker_url(lab, case)
    torrent = lab.torrent(lab.large(), [url])
    process = lab.rustor("download", torrent.file, "-o", lab.folder("downloaded"))
    where = url.split("/")[2]

    def complaints() -> list[str]:
        return [line for line in process.error_lines if where in line]

    lab.wait(lambda: complaints() or process.exit_code is not None, f"standard error names the tracker {where}")
    if not complaints():
        raise Failed(f"nothing on standard error about the tracker {where}")
    line = complaints()[0]
    process.send(signal.SIGINT)
    lab.finish(process)
    if process.exit_code not in (0, 1, 130):
        raise Failed(f"exit code {process.exit_code}")
    return line


def _tracker_url(lab: Lab, case: str) -> str:
    if case == "refused":
        host = lab.host("tracker")
        return f"http://{host.address}:{host.free_port()}/announce"
    return lab.scripted_tracker(case).url


def _one_line(process: Process, code: int, mentions: str = "") -> None:
    command = " ".join(process.argv[1:3])
    if process.exit_code != code:
        raise Failed(f"{command}: exit code {process.exit_code} in place of {code}")
    lines = process.error_lines
    if len(lines) != 1:
        raise Failed(f"{command}: {len(lines)} lines on standard error in place of one")
    if mentions not in lines[0]:
        raise Failed(f"{command}: {mentions!r} is not mentioned: {lines[0]}")
    if len(lines[0]) > 300 or "Err(" in lines[0] or "Error {" in lines[0]:
        raise Failed(f"{command}: not a line for people: {lines[0][:300]}")
