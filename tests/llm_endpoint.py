"""An OpenAI-compatible endpoint for tests: a real HTTP server whose answers the test chooses."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What the model says of what it is told (the user's message), or a whole reply of its own.
Says = Callable[[dict[str, Any]], "str | Reply"]


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. With `drip_sec` its body comes byte by byte, so far apart."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drip_sec: float = 0.0


@dataclass
class LlmEndpoint:
    """`says` may be changed while it serves; `asked` has every request, `bearers` the header of each."""

    url: str
    says: Says
    asked: list[dict[str, Any]] = field(default_factory=list)
    bearers: list[str | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def told(self) -> list[dict[str, Any]]:
        """What was said of the turn, for each request."""
        return [json.loads(request["messages"][1]["content"]) for request in self.asked]


def accusing(label: str, quote: str | None = None, reason: str = "暗示不会亏损") -> Says:
    """Finds a label in everything: in the whole text, or by this quote."""

    def says(told: dict[str, Any]) -> str:
        quotes = [quote if quote is not None else told["message"]["text"]]
        return json.dumps({"findings": [{"label": label, "quotes": quotes, "reason": reason}]})

    return says


def saying(text: str) -> Says:
    return lambda told: text


NOTHING = saying('{"findings": []}')


@contextmanager
def llm_endpoint(says: Says) -> Iterator[LlmEndpoint]:
    """Serves until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.asked.append(request)
            endpoint.bearers.append(self.headers.get("Authorization"))
            if self.path != "/v1/chat/completions":
                self._send(Reply(404))
                return
            said = endpoint.says(json.loads(request["messages"][1]["content"]))
            if isinstance(said, str):
                completion = {"choices": [{"message": {"role": "assistant", "content": said}}]}
                said = Reply(body=json.dumps(completion).encode())
            self._send(said)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            try:
                for byte in reply.body if reply.drip_sec else ():
                    self.wfile.write(bytes([byte]))
                    if endpoint.ended.wait(reply.drip_sec):
                        return
                if not reply.drip_sec:
                    self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True  # the client had enough

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = LlmEndpoint(f"http://127.0.0.1:{server.server_port}/v1", says)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
