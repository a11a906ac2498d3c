"""Is there a broker at all? Asked before a client is built: an answer in seconds that names the address."""

import socket

from streams.errors import BrokerError

CONNECT_TIMEOUT_SEC = 3.0


def require_broker(bootstrap: str, *, timeout_sec: float = CONNECT_TIMEOUT_SEC) -> None:
    """
    Return when any of the `host:port,host:port` takes a connection.

    Raises BrokerError that names the addresses when none does or the text is no address.
    Kafka clients would try for much longer, and leave sockets open when they give up.
    """
    reasons = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise BrokerError(f"{address.strip()!r} is no broker address; write host:port", retryable=False)
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_sec):
                return
        except OSError as error:
            reasons.append(str(error))
    raise BrokerError(f"no Kafka broker answers at {bootstrap} ({'; '.join(reasons)})", retryable=True)
