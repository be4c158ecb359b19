"""The lab's network: one host for each client, all on one bridge.

With root every host is a network namespace of its own, joined by a veth pair to a bridge in one more
namespace, so nothing leaks to the machine's own network and several labs can run side by side. Without
root all hosts share the machine's own address and differ in their ports.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable

PREFIX = "rustor-lab"
SUBNET = "10.78.0"
SUBNET6 = "fd78:"
CLONE_NEWNET = 0x40000000
NETNS_DIRECTORY = pathlib.Path("/run/netns")

_numbers = itertools.count(1)


class Host:
    """One machine of the lab: an address, processes that run there and sockets that live there."""

    def __init__(self, name: str, address: str, namespace: str | None, address6: str = "") -> None:
        self.name = name
        self.address = address
        #: Empty where the lab has no IPv6.
        self.address6 = address6
        self._namespace = namespace

    def command(self, argv: list[str]) -> list[str]:
        """The command line that runs `argv` on this host."""
        if self._namespace is None:
            return argv
        return ["nsenter", f"--net={NETNS_DIRECTORY / self._namespace}", *argv]

    def socket(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A TCP socket on this host. It stays there whichever thread uses it afterwards."""
        if self._namespace is None:
            return socket.socket(family)
        made: list[socket.socket] = []
        thread = threading.Thread(target=lambda: made.append(self._socket_inside(family)))
        thread.start()
        thread.join()
        if not made:
            raise OSError(f"cannot enter the namespace of {self.name}")
        return made[0]

    def _socket_inside(self, family: socket.AddressFamily) -> socket.socket:
        # setns moves only the calling thread, which ends right after this.
        with open(NETNS_DIRECTORY / str(self._namespace), "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        return socket.socket(family)

    def listen(self) -> socket.socket:
        """A listening socket on a port of the system's choice."""
        listener = self.socket()
        listener.bind((self.address, 0))
        listener.listen(64)
        return listener

    def free_port(self) -> int:
        """A TCP port nobody listens on at the moment."""
        with self.socket() as probe:
            probe.bind(("0.0.0.0", 0))
            return int(probe.getsockname()[1])


class Network:
    """All hosts of one scenario. Close it to remove every trace."""

    def __init__(self, namespaces: bool) -> None:
        self._hosts: dict[str, Host] = {}
        self._label = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self._hub = f"{self._label}-hub" if namespaces else None
        if self._hub:
            _ip("netns", "add", self._hub)
            _ip("-n", self._hub, "link", "set", "lo", "up")
            _ip("-n", self._hub, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._hub, "addr", "add", f"{SUBNET}.1/24", "dev", "bridge")
            _ip("-n", self._hub, "link", "set", "bridge", "up")

    def host(self, name: str) -> Host:
        """The host called `name`, made at its first mention."""
        if name not in self._hosts:
            self._hosts[name] = self._make(name)
        return self._hosts[name]

    def _make(self, name: str) -> Host:
        if self._hub is None:
            return Host(name, own_address(), None)
        number = len(self._hosts) + 2
        namespace, port = f"{self._label}-{number}", f"port{number}"
        address, address6 = f"{SUBNET}.{number}", f"{SUBNET6}:{number}"
        _ip("netns", "add", namespace)
        _ip("-n", self._hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", self._hub, "link", "set", port, "master", "bridge", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "addr", "add", f"{address6}/64", "dev", "eth0", "nodad")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        # Some clients look for their own address by the default route.
        _ip("-n", namespace, "route", "add", "default", "via", f"{SUBNET}.1")
        return Host(name, address, namespace, address6)

    def close(self) -> None:
        """Removes every namespace of this network."""
        if self._hub:
            _remove(lambda name: name.startswith(f"{self._label}-"))


def namespaces_work() -> bool:
    """Whether this process may make network namespaces with everything a lab needs."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    network = None
    try:
        network = Network(namespaces=True)
        network.host("probe").free_port()
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        if network:
            network.close()
    return True


def remove_stale() -> None:
    """Removes the namespaces that a killed run left behind, with what still runs in them."""

    def abandoned(name: str) -> bool:
        match = re.match(rf"{PREFIX}-(\d+)-", name)
        return bool(match) and not pathlib.Path(f"/proc/{match[1]}").exists()

    for name in _namespaces():
        if abandoned(name):
            listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for process in listed.stdout.split():
                os.kill(int(process), signal.SIGKILL)
    _remove(abandoned)


def own_address() -> str:
    """The machine's own address, or loopback. Some clients refuse peers at 127.0.0.0/8."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _namespaces() -> list[str]:
    return sorted(os.listdir(NETNS_DIRECTORY)) if NETNS_DIRECTORY.is_dir() else []


def _remove(chosen: Callable[[str], bool]) -> None:
    for name in _namespaces():
        if chosen(name):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
