"""
The wire to the LLM judge: any endpoint that speaks OpenAI's chat completions. Needs the judge extra.

It goes to the address that the operator names and to no other: no proxy of the environment, no redirect.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import httpx
import orjson

from deploy.settings import SettingsError
from detectors.judge import Request
from streams.errors import EndpointError

# Once more after each: a server that restarts, or says that it is busy.
RETRY_PAUSES_SEC = (0.5, 2.0)
MAX_ANSWER_BYTES = 256 * 1024
BUSY = 429
TIMED_OUT_KIND = "timeout"


class ChatEndpoint:
    """An `Endpoint` over HTTP. `timeout_sec` bounds one try; for one thread."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None,
        ca_file: Path | None,
        timeout_sec: float,
        retry_pauses_sec: Sequence[float] = RETRY_PAUSES_SEC,
        wait: Callable[[float], object] = sleep,
    ) -> None:
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._where = urlsplit(base_url).netloc
        self._timeout_sec = timeout_sec
        self._retry_pauses_sec = retry_pauses_sec
        self._wait = wait
        headers = {b"Content-Type": b"application/json", b"Accept-Encoding": b"identity"}
        if key is not None:
            headers[b"Authorization"] = f"Bearer {key}".encode()
        self._client = httpx.Client(
            headers=headers, timeout=timeout_sec, trust_env=False, verify=_trusted(ca_file)
        )

    def complete(self, request: Request) -> str:
        """See `Endpoint.complete`."""
        body = orjson.dumps(request)
        for pause_sec in self._retry_pauses_sec:
            try:
                return self._ask(body)
            except EndpointError as error:
                if not error.retryable:
                    raise
            self._wait(pause_sec)
        return self._ask(body)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _ask(self, body: bytes) -> str:
        deadline = monotonic() + self._timeout_sec
        received = bytearray()
        try:
            with self._client.stream("POST", self._url, content=body) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refused(response.status_code)
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > MAX_ANSWER_BYTES:
                        raise self._error("answers with more than an answer can have", "too_large")
                    if monotonic() > deadline:  # a drop now and then keeps each single read within its time
                        raise self._late()
        except httpx.TimeoutException:
            raise self._late() from None
        except httpx.TransportError as error:
            said = type(error).__name__
            raise self._error(f"cannot be reached ({said})", "unreachable", retryable=True) from None
        return self._text(bytes(received))

    def _text(self, received: bytes) -> str:
        try:
            text = orjson.loads(received)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            raise self._error("answers with something that is no chat completion", "no_completion")
        return text

    def _refused(self, status: int) -> EndpointError:
        retryable = status == BUSY or httpx.codes.is_server_error(status)
        return self._error(f"answers with HTTP status {status}", f"http_{status}", retryable=retryable)

    def _late(self) -> EndpointError:
        return self._error(f"did not answer within {self._timeout_sec:g} s", TIMED_OUT_KIND)

    def _error(self, said: str, kind: str, *, retryable: bool = False) -> EndpointError:
        return EndpointError(f"{self._where} {said}", kind=kind, retryable=retryable)


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(f"REDLINE_JUDGE_CA={ca_file}: no PEM file with certificates: {error}") from error
