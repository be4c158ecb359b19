"""nginx as a web seed: a folder of this machine, served from a host of the lab."""

from __future__ import annotations

import os
import pathlib
import shutil
from typing import TYPE_CHECKING

from .outcome import Skipped

if TYPE_CHECKING:
    from .lab import Lab

CONFIGURATION = """\
daemon off;
worker_processes 1;
error_log stderr;
pid {state}/nginx.pid;
{user}
events {{ worker_connections 64; }}
http {{
    log_format sizes '$status $body_bytes_sent "$request" "$http_range"';
    access_log {state}/access.log sizes;
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    server {{
        listen {address}:{port};
        root "{root}";
        {options}
    }}
}}
"""


class Server:
    """A running nginx that serves `root`; `options` are lines of its configuration."""

    def __init__(self, lab: Lab, root: pathlib.Path, options: str = "", name: str = "web") -> None:
        if not shutil.which("nginx"):
            raise Skipped("nginx is not installed")
        host = lab.host(name)
        port = host.free_port()
        state = lab.folder(f"nginx-{name}")
        # As root, its workers would lose the right to read what the lab made.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = CONFIGURATION.format(state=state, user=user, address=host.address, port=port, root=root, options=options)
        file = state / "nginx.conf"
        file.write_text(configuration)
        self._log = state / "access.log"
        #: Its root's URL, with a slash at the end.
        self.url = f"http://{host.address}:{port}/"
        self.process = lab.start(f"nginx-{name}", ["nginx", "-p", str(state), "-e", "stderr", "-c", str(file)], host)
        lab.wait_for_listener(self.process, host, port)

    def requests(self) -> int:
        """How many requests were answered."""
        return len(self._entries())

    def sent(self) -> int:
        """Bytes of bodies sent so far, by requests that have ended."""
        return sum(int(entry.split()[1]) for entry in self._entries())

    def _entries(self) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines() if self._log.is_file() else []
