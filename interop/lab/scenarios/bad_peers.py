"""Peers that misbehave cost only themselves: beside one honest peer, everything completes."""

from __future__ import annotations

from collections.abc import Iterator

from ..lab import Lab
from ..outcome import Failed
from ..payload import MIB
from ..rude_peers import KINDS, RudePeer
from ..torrent import Torrent
from .base import Scenario

RATE = 2 * MIB


def scenarios(quick: bool) -> Iterator[Scenario]:
    """All kinds at once; in a full run each alone, too."""
    groups = {"all-kinds": tuple(KINDS)} | ({} if quick else {kind: (kind,) for kind in KINDS})
    for name, kinds in groups.items():
        for leecher in ("rustor", "libtorrent"):
            own = leecher == "rustor"
            yield Scenario(f"bad-peers/{name}/{leecher}-downloads", lambda lab, k=kinds, c=leecher: _leech(lab, k, c), 90, own)
        yield Scenario(f"bad-peers/{name}/rustor-seeds", lambda lab, k=kinds: _seed(lab, k), 90)


def _rude(lab: Lab, kinds: tuple[str, ...], torrent: Torrent) -> list[RudePeer]:
    if not lab.environment.namespaces:
        # With one address for all, a ban for corrupt pieces would hit the honest peer.
        kinds = tuple(kind for kind in kinds if kind != "corrupt-pieces")
    peers = [RudePeer(lab.host(kind), kind, torrent) for kind in kinds]
    for peer in peers:
        lab.on_close(peer.close)
    return peers


def _leech(lab: Lab, kinds: tuple[str, ...], leecher: str) -> None:
    payload = lab.environment.payloads.large(8)
    # The torrent names its tracker, which only later learns who is there.
    tracker = lab.scripted_tracker("peers")
    torrent = lab.torrent(payload, [tracker.url])
    # Slow enough for every rude peer to have its turn.
    honest = lab.seeder("libtorrent", torrent, payload, upload_limit=RATE)
    rude = _rude(lab, kinds, torrent)
    tracker.set_peers([peer.address for peer in rude] + [(honest.job.host.address, honest.job.port)])
    lab.complete(lab.peer(leecher, "leech", torrent, lab.folder("downloaded")), payload)
    if unmet := [peer.kind for peer in rude if peer.connections == 0]:
        raise Failed(f"finished without having met: {', '.join(unmet)}")
    _no_service(rude)


def _seed(lab: Lab, kinds: tuple[str, ...]) -> None:
    payload = lab.environment.payloads.large(8)
    torrent = lab.torrent(payload, [])
    seeder = lab.seeder("rustor", torrent, payload)
    rude = _rude(lab, kinds, torrent)
    for _ in range(3):
        for peer in rude:
            peer.dial(seeder.job.host.address, seeder.job.port)
    lab.complete(lab.peer("libtorrent", "leech", torrent, lab.folder("downloaded"), peers=(seeder.at,)), payload)
    offenders = [peer for peer in rude if KINDS[peer.kind]]
    lab.wait(
        lambda: all(peer.closed >= 3 for peer in offenders),
        lambda: "these are disconnected: " + ", ".join(peer.kind for peer in offenders if peer.closed < 3),
    )
    _no_service(rude)
    if seeder.process.exit_code is not None:
        raise Failed(f"the seeder ended with exit code {seeder.process.exit_code}")


def _no_service(rude: list[RudePeer]) -> None:
    for peer in rude:
        if peer.served:
            raise Failed(f"{peer.kind} was served: {peer.served}")
