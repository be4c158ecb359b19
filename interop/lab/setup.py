"""Installs the other clients and builds our own."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {  # command: Debian package
    "transmission-daemon": "transmission-daemon",
    "aria2c": "aria2",
    "opentracker": "opentracker",
    "nginx": "nginx",
    "ip": "iproute2",
}


def target() -> pathlib.Path:
    """cargo's target folder."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"]
    metadata = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"])


def install(modules: pathlib.Path, say: Callable[[str], None]) -> None:
    """Installs what is missing, as far as the machine lets us; scenarios that lack something are skipped."""
    missing = [package for command, package in PACKAGES.items() if not shutil.which(command)]
    if importlib.util.find_spec("pip") is None and not modules.is_dir():
        missing.append("python3-pip")
    if missing and os.geteuid() != 0:
        say(f"not installed, and only root may: {' '.join(missing)}")
    elif missing and not shutil.which("apt-get"):
        say(f"not installed, and there is no apt-get: {' '.join(missing)}")
    elif missing:
        say(f"installing {' '.join(missing)}")
        # RUNLEVEL keeps Debian from starting the daemons as services.
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing]):
            done = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                say(f"apt-get {command[0]} failed: {_last_line(done.stderr)}")
    if not (modules / "libtorrent").is_dir():
        say("installing libtorrent's Python binding")
        staging = modules.with_name(f"{modules.name}-{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(staging)]
        done = subprocess.run([*command, "libtorrent"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            shutil.rmtree(modules, ignore_errors=True)
            staging.rename(modules)
        else:
            say(f"pip failed: {_last_line(done.stderr)}")
            shutil.rmtree(staging, ignore_errors=True)


def build(target_directory: pathlib.Path, say: Callable[[str], None]) -> pathlib.Path:
    """Builds `rustor`, or takes the binary that $RUSTOR names."""
    if given := os.environ.get("RUSTOR"):
        return pathlib.Path(given).resolve()
    say("building rustor")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "rustor"], cwd=REPOSITORY, check=True)
    return target_directory / "release" / "rustor"


def build_example(target_directory: pathlib.Path, say: Callable[[str], None]) -> pathlib.Path:
    """Builds the example for async-std, or takes the binary that $RUSTOR_ASYNC_STD names."""
    if given := os.environ.get("RUSTOR_ASYNC_STD"):
        return pathlib.Path(given).resolve()
    say("building the example for async-std")
    name = "download-async-std"
    command = ["cargo", "build", "--release", "--quiet", "--package", "rustor-async-std", "--example", name]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return target_directory / "release" / "examples" / name


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
