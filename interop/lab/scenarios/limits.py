"""Rate limits against a real peer, by that peer's own figures."""

from __future__ import annotations

from collections.abc import Iterator

from ..lab import Lab, Peer
from ..outcome import Failed
from .base import Scenario

#: How long a transfer takes at its limit, and the least of it that is measured, in seconds.
LASTS, MEASURED = 18, 10
#: How far the rate may be from the limit.
TOLERANCE = 0.05


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Both directions, and both at once for two peers."""
    del quick
    yield Scenario("limits/max-down", _download)
    yield Scenario("limits/max-up", _upload)
    yield Scenario("limits/max-up/two-leechers", _upload_to_two)


def _download(lab: Lab) -> str:
    payload = lab.large()
    rate = payload.size // LASTS
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("libtorrent", torrent, payload)
    leecher = lab.peer("rustor", "leech", torrent, lab.folder("downloaded"), peers=(seeder.at,), options=("--max-down", str(rate)))
    lab.complete(leecher, payload)
    return _judge([seeder], "sent", rate)


def _upload(lab: Lab) -> str:
    payload = lab.large()
    rate = payload.size // LASTS
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("rustor", torrent, payload, options=("--max-up", str(rate)))
    leecher = lab.peer("libtorrent", "leech", torrent, lab.folder("downloaded"), peers=(seeder.at,))
    lab.complete(leecher, payload)
    return _judge([leecher], "received", rate)


def _upload_to_two(lab: Lab) -> str:
    """The limit is for both together; they do not know of each other."""
    payload = lab.large()
    rate = payload.size * 2 // LASTS
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("rustor", torrent, payload, options=("--max-up", str(rate), "--no-pex"))
    leechers = [
        lab.peer("libtorrent", "leech", torrent, lab.folder(f"downloaded-{number}"), peers=(seeder.at,)) for number in range(2)
    ]
    for leecher in leechers:
        lab.complete(leecher, payload)
    return _judge(leechers, "received", rate)


def _judge(peers: list[Peer], figure: str, limit: int) -> str:
    """Compares the peers' own counts with the limit, between moments at which those were taken."""
    # libtorrent adds up its figures once a second: only where they change do they belong to their moment. The beginning fills
    # buffers, and at the end there is less to send than a second's worth.
    begin = max(_changes(peer, figure)[0][0] for peer in peers) + 2
    end = min(_changes(peer, figure)[-2][0] for peer in peers)
    total = seconds = 0.0
    for peer in peers:
        window = [(at, count) for at, count in _changes(peer, figure) if begin <= at <= end]
        if len(window) < 2 or window[-1][0] - window[0][0] < MEASURED - 2 * (len(peers) - 1):
            raise Failed(f"it was over too soon, {end - begin:.1f} s after the beginning: the limit was not kept")
        seconds = window[-1][0] - window[0][0]
        total += (window[-1][1] - window[0][1]) / seconds
    share = total / limit
    said = f"{total / 1000:.0f} kB/s in {seconds:.1f} s, {100 * share:.1f}% of the limit"
    if abs(share - 1) > TOLERANCE:
        raise Failed(said)
    return said


def _changes(peer: Peer, figure: str) -> list[tuple[float, float]]:
    """When the figure has changed, and to what."""
    changes: list[tuple[float, float]] = []
    for entry in peer.history():
        if entry[figure] and (not changes or entry[figure] != changes[-1][1]):
            changes.append((entry["at"], entry[figure]))
    if len(changes) < 3:
        raise Failed("it was over too soon: the limit was not kept")
    return changes
