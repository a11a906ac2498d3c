"""Serve the scoring app: in the foreground, or from a thread beside a worker."""

import threading

from starlette.applications import Starlette

from deploy import listening


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until a signal comes. Raises AddressTaken."""
    with listening.listen(host, port) as listener:
        listening.serve(app, listener)


def serve_beside(app: Starlette, host: str, port: int) -> int:
    """Serve from a thread that ends with the process; gives the port. Raises AddressTaken."""
    listener = listening.listen(host, port)
    thread = threading.Thread(
        target=listening.server(app).run, kwargs={"sockets": [listener]}, name="score", daemon=True
    )
    thread.start()
    return int(listener.getsockname()[1])
