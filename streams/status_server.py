"""`/health` and `/metrics` of a process in the background, from a thread of their own: they answer when its loop does not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Protocol

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.errors import BrokerError

REQUEST_TIMEOUT_SEC = 5


class HealthReport(Protocol):
    """A dataclass that is answered as JSON."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""


@contextmanager
def serving_status(
    host: str, port: int, *, health: Callable[[], HealthReport], registry: CollectorRegistry
) -> Iterator[int]:
    """
    Answer while the block runs; gives the port (a free one for 0).

    `/health` is 200 or, with problems, 503; both with the same JSON. Raises BrokerError
    when the address cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SEC

        def do_GET(self) -> None:
            if self.path == "/health":
                found = health()
                self._answer(200 if found.well else 503, "application/json", orjson.dumps(asdict(found)))
            elif self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            else:
                self._answer(404, "text/plain", b"there are /health and /metrics\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; nobody reads of them."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise BrokerError(
            f"cannot serve the status on {host}:{port} (REDLINE_STATUS): {error.strerror or error}; every worker, "
            "sink and publish on a machine needs a port of its own",
            retryable=False,
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="status", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
