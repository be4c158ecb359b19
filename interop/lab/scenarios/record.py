"""Recordings of real downloads: small enough to keep, and replayed to the same actions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..lab import Lab
from ..outcome import Failed
from ..payload import MIB
from .base import Scenario

#: What a recording may need, as a part of what was downloaded: 32 MiB for 1 GiB.
SHARE = 1 / 32


def scenarios(quick: bool) -> Iterator[Scenario]:
    """A download from a real client, with addresses and without."""
    del quick
    yield Scenario("record/from-libtorrent", lambda lab: _record(lab), 600)
    yield Scenario("record/from-libtorrent/masked", lambda lab: _record(lab, "--mask-addresses"), 600)


def _record(lab: Lab, *options: str) -> str:
    payload = lab.large()
    tracker = lab.tracker_at("rustor")
    torrent = lab.torrent(payload, [tracker.url])
    lab.open_tracker("rustor", tracker, torrent)
    lab.seeder("libtorrent", torrent, payload, tracker)
    recording = lab.folder("recordings") / "download"
    lab.complete(lab.peer("rustor", "leech", torrent, lab.folder("downloaded"), options=("--record", str(recording), *options)), payload)
    size = recording.stat().st_size
    if size > payload.size * SHARE:
        raise Failed(f"the recording has {size} bytes, for {payload.size} downloaded")
    if (tracker.at.encode() in recording.read_bytes()) == bool(options):
        raise Failed("the tracker's address stands in the recording, or it should and does not")
    # It fails if the engine says anything else than it did.
    *events, told = map(json.loads, lab.finish(lab.rustor("replay", recording, "--events", "--json"), expect=0).stdout.splitlines())
    if not told["checkpoints"]:
        raise Failed("the replay met no checkpoint")
    if not any(event["event"].startswith("Finished") for event in events):
        raise Failed("the replay did not finish the download")
    share = f"{size / MIB:.2f} MiB, {100 * size / payload.size:.2f}% of {payload.size / MIB:.0f} MiB"
    return f"{share}; {told['entries']} entries and {told['checkpoints']} checkpoints replayed"
