"""libtorrent as a command: seed, leech or create. Runs as a process of its own.

While it transfers it prints one JSON object a line: bytes of payload sent and received, progress, peers.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import libtorrent as lt

warnings.filterwarnings("ignore", category=DeprecationWarning)


def main() -> None:
    """Carries out one sub-command."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("seed", "leech"):
        command = commands.add_parser(name)
        command.add_argument("torrent")
        command.add_argument("directory")
        command.add_argument("--port", type=int, required=True)
        command.add_argument("--peer", action="append", default=[])
        command.add_argument("--upload-limit", type=int, default=0, help="bytes a second")
        command.add_argument("--local-discovery", action="store_true")
    create = commands.add_parser("create")
    create.add_argument("directory")
    create.add_argument("piece_length", type=int)
    create.add_argument("out")
    create.add_argument("--private", action="store_true")
    create.add_argument("--file", action="append", help="LENGTH:PATH, in order")
    arguments = parser.parse_args()
    if arguments.command == "create":
        make(arguments)
    else:
        transfer(arguments)


def make(arguments: argparse.Namespace) -> None:
    """Writes a torrent file with the files in the order given."""
    storage = lt.file_storage()
    for file in arguments.file:
        length, path = file.split(":", 1)
        storage.add_file(path, int(length))
    torrent = lt.create_torrent(storage, piece_size=arguments.piece_length, flags=lt.create_torrent.v1_only)
    torrent.set_priv(arguments.private)
    lt.set_piece_hashes(torrent, arguments.directory)
    with open(arguments.out, "wb") as out:
        out.write(lt.bencode(torrent.generate()))


def transfer(arguments: argparse.Namespace) -> None:
    """Seeds or leeches until it is killed."""
    session = lt.session(
        {
            "listen_interfaces": f"0.0.0.0:{arguments.port},[::]:{arguments.port}",
            "enable_dht": False,
            "enable_lsd": arguments.local_discovery,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "unchoke_slots_limit": 64,
            "min_reconnect_time": 1,
            "out_enc_policy": lt.enc_policy.disabled,
            "in_enc_policy": lt.enc_policy.enabled,
            "alert_mask": 0,
        }
    )
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(arguments.torrent)
    parameters.save_path = arguments.directory
    parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if arguments.command == "seed":
        parameters.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(parameters)
    if arguments.upload_limit:
        handle.set_upload_limit(arguments.upload_limit)
    for peer in arguments.peer:
        address, port = peer.rsplit(":", 1)
        handle.connect_peer((address.strip("[]"), int(port)))
    last = None
    while True:
        status = handle.status()
        now = {
            "sent": status.total_payload_upload,
            "received": status.total_payload_download,
            "failed": status.total_failed_bytes,
            "progress": round(status.progress, 3),
            "peers": status.num_peers,
            "seeding": status.is_seeding,
        }
        if now != last:
            print(json.dumps(now), flush=True)
            last = now
        time.sleep(0.02)


if __name__ == "__main__":
    main()
