"""Where the broker is and how to connect; and is there one at all? Asked before a client is built."""

import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from streams.errors import BrokerError
from streams.security import KafkaSecurity

CONNECT_TIMEOUT_SEC = 3.0


@dataclass(frozen=True, slots=True)
class Broker:
    """The addresses of a cluster, `host:port,host:port`, and how to connect. Prints as its addresses."""

    servers: str
    security: KafkaSecurity = field(default_factory=KafkaSecurity)

    def __str__(self) -> str:
        return self.servers

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for every client of kafka-python and aiokafka. Raises BrokerError."""
        return {"bootstrap_servers": self.servers, **self.security.client_options()}


Bootstrap = str | Broker
"""What functions take: bare addresses are a broker without TLS and password."""


def as_broker(bootstrap: Bootstrap) -> Broker:
    """The broker that was named."""
    return bootstrap if isinstance(bootstrap, Broker) else Broker(bootstrap)


def require_broker(bootstrap: Bootstrap, *, timeout_sec: float = CONNECT_TIMEOUT_SEC) -> None:
    """
    Return when any of the addresses takes a connection, and, with TLS, shows a certificate that holds.

    Raises BrokerError that names the addresses when none does or the text is no address: an
    answer in seconds. Kafka clients would try for much longer, and leave sockets open when they give up.
    """
    broker = as_broker(bootstrap)
    context = broker.security.ssl_context()
    reasons = []
    for address in broker.servers.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise BrokerError(f"{address.strip()!r} is no broker address; write host:port", retryable=False)
        try:
            _connect(host.strip("[]"), int(port), context, timeout_sec)
        except ssl.SSLCertVerificationError as error:
            raise BrokerError(
                f"the certificate of the broker at {address.strip()} is not to be trusted "
                f"({error.verify_message}): check the CA file and the host name",
                retryable=False,
            ) from error
        except OSError as error:
            reasons.append(str(error))
        else:
            return
    raise BrokerError(f"no Kafka broker answers at {broker} ({'; '.join(reasons)})", retryable=True)


def not_let_in(bootstrap: Bootstrap, error: Exception) -> BrokerError:
    """What to raise when `require_broker` was content, but a client could not be built."""
    broker = as_broker(bootstrap)
    signs_in = ", user, password and mechanism" if broker.security.uses_sasl else ""
    return BrokerError(
        f"the broker at {broker} takes connections, but this client gets no answer ({error}): check whether "
        f"{broker.security.protocol} is what this port speaks{signs_in}",
        retryable=True,
    )


def _connect(host: str, port: int, context: ssl.SSLContext | None, timeout_sec: float) -> None:
    with socket.create_connection((host, port), timeout=timeout_sec) as plain:
        if context is not None:
            context.wrap_socket(plain, server_hostname=host).close()
