"""Serve the scoring app: in the foreground, or from a thread beside a worker."""

import socket
import threading

import uvicorn
from starlette.applications import Starlette

from rules.errors import RedlineError

BACKLOG = 256


class AddressTaken(RedlineError):
    """The address to serve on cannot be had."""


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until a signal comes. Raises AddressTaken."""
    with _bound(host, port) as listener:
        _server(app).run(sockets=[listener])


def serve_beside(app: Starlette, host: str, port: int) -> int:
    """Serve from a thread that ends with the process; gives the port. Raises AddressTaken."""
    listener = _bound(host, port)
    thread = threading.Thread(
        target=_server(app).run, kwargs={"sockets": [listener]}, name="score", daemon=True
    )
    thread.start()
    return int(listener.getsockname()[1])


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, backlog=BACKLOG))


def _bound(host: str, port: int) -> socket.socket:
    """Bound here and not by uvicorn, which would end the process, or only its thread."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressTaken(f"cannot serve on {host}:{port}: {error.strerror or error}") from error
