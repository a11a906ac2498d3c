"""The address to serve on: had before work begins, and served until a signal comes."""

import signal
import socket
from typing import Any, NoReturn

import uvicorn

from rules.errors import RedlineError

BACKLOG = 256


class AddressTaken(RedlineError):
    """The address to serve on cannot be had."""


def listen(host: str, port: int) -> socket.socket:
    """Bound here and not by uvicorn, which would end the process, or only its thread. Raises AddressTaken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressTaken(
            f"cannot serve on {host}:{port}: {error.strerror or error}; end what serves there, or choose another --port"
        ) from error


def server(app: Any) -> uvicorn.Server:
    """uvicorn as every command runs it."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, backlog=BACKLOG))


def serve(app: Any, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM comes, end what is under way, and return: the caller closes its stores."""
    # uvicorn raises the signal again when it is done; the usual handler would end the process there.
    signal.signal(signal.SIGTERM, _ended)
    try:
        server(app).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _ended(*_: object) -> NoReturn:
    raise KeyboardInterrupt
