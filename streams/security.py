"""How clients of the broker prove who they are, and how they know that it is the right broker."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from streams.errors import BrokerError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
MECHANISMS: tuple[Mechanism, ...] = get_args(Mechanism)


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """
    One way to connect, the same for every client of ours. The password does not print.

    With TLS the broker's certificate and its host name are always checked, against
    `ca_file` or the certificates of the system. `cert_file` and `key_file` (PEM) are shown
    to brokers that ask for a client's certificate. Raises ValueError for what does not go together.
    """

    protocol: Protocol = "PLAINTEXT"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.uses_sasl and not (self.username and self.password):
            raise ValueError(f"{self.protocol} needs a user and a password")
        if not self.uses_sasl and (self.username or self.password):
            raise ValueError(f"a user or password is given, but {self.protocol} uses none")
        if self.protocol == "SASL_PLAINTEXT" and self.mechanism == "PLAIN":
            raise ValueError("PLAIN without TLS would send the password readable: use SASL_SSL or SCRAM")
        if not self.uses_tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError(f"a certificate or key is given, but {self.protocol} uses none")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("a client certificate and its key go together: one of them is missing")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether the client signs in with user and password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    def ssl_context(self) -> ssl.SSLContext | None:
        """
        A fresh context, read from the files as they are now; None without TLS.

        Raises BrokerError that names the file that cannot be used.
        """
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise BrokerError(
                f"cannot use the CA certificates in {self.ca_file}: {error}", retryable=False
            ) from error
        if self.cert_file is not None:
            try:
                # Without a password OpenSSL would ask on the terminal for that of an encrypted key.
                context.load_cert_chain(self.cert_file, self.key_file, password=self.key_password or "")
            except (OSError, ssl.SSLError) as error:
                raise BrokerError(
                    f"cannot use the client certificate {self.cert_file} with {self.key_file}: {error}",
                    retryable=False,
                ) from error
        return context

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for every client of kafka-python and aiokafka."""
        if self.protocol == "PLAINTEXT":
            return {}
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.uses_tls:
            options["ssl_context"] = self.ssl_context()
        if self.uses_sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options
