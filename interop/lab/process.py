"""A process of the lab, with its output in files."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess

from .net import Host


class Process:
    """A running command. Its output goes to `NAME.out` and `NAME.err` in the scenario's log folder."""

    def __init__(self, name: str, argv: list[str], host: Host, logs: pathlib.Path, env: dict[str, str]) -> None:
        self.name = name
        self.argv = argv
        self._out = logs / f"{name}.out"
        self._err = logs / f"{name}.err"
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self._popen = subprocess.Popen(
                _dies_with_us(host.command(argv)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=os.environ | env,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
            )

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._popen.poll()

    @property
    def stdout(self) -> str:
        """What it has written to standard output so far."""
        return self._out.read_text("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        return self._err.read_text("utf-8", "replace")

    @property
    def error_lines(self) -> list[str]:
        """The non-empty lines of standard error."""
        return [line for line in self.stderr.splitlines() if line.strip()]

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to this process alone."""
        if self.exit_code is None:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """Ends the process and its children at once, and waits until they are gone."""
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except OSError:
            pass
        self._popen.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines it wrote, for a failure's report."""
        code = "running" if self.exit_code is None else f"exit {self.exit_code}"
        text = [f"--- {self.name} ({code}): {' '.join(self.argv)[:300]}"]
        for stream in (self.stdout, self.stderr):
            # Progress lines overwrite themselves: only their last state matters.
            text += [f"    {line.split(chr(13))[-1][:240]}" for line in stream.strip().split("\n")[-lines:] if line.strip()]
        return "\n".join(text)


def _dies_with_us(argv: list[str]) -> list[str]:
    # Should this script be killed, nothing of the lab outlives it.
    return ["setpriv", "--pdeathsig", "KILL", *argv] if shutil.which("setpriv") else argv
