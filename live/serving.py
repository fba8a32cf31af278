"""Starting the service: one per data folder, a free port, uvicorn."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from litestar import Litestar

from ingest.settings import Settings
from live.access import is_loopback

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 1
"""Real seconds that open connections get to end."""


class StartError(RuntimeError):
    """The service can't start; the message says why and what to do."""


@contextmanager
def only_service(data_dir: Path) -> Iterator[None]:
    """Hold the lock file of a data folder, so that one service at a time owns its live.duckdb."""
    path = data_dir / "live.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+")
    except OSError as error:
        raise StartError(
            f"DATA_DIR {data_dir} can't be written ({error.strerror}): set DATA_DIR in .env to a "
            "folder that can"
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise StartError(
                f"a live service (process {file.read().strip() or 'unknown'}) already uses "
                f"{data_dir}: stop it first, or set another DATA_DIR"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextmanager
def listening_socket(settings: Settings) -> Iterator[socket.socket]:
    """Take the service's port; clients that connect before it serves wait."""
    host, port = settings.live_host, settings.live_port
    if not is_loopback(host) and not (
        settings.live_token and settings.live_token.get_secret_value()
    ):
        raise StartError(f"LIVE_HOST is {host}, which others reach: set LIVE_TOKEN in .env too")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise StartError(
                f"can't listen on {host}:{port} ({error.strerror}): "
                "stop what uses it, or set LIVE_PORT to a free port"
            ) from error
        listener.setblocking(False)
        yield listener


def serve_app(app: Litestar, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then end cleanly and return."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises what ended it once more
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:
        raise StartError("the service could not start: see the log above")
