"""Certificates for the development broker: an authority of its own, the broker's and a client's. Not for production."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.dev.process import ServiceError, find_program

DAYS = "3650"
OPENSSL_HINT = "openssl is missing. Install it: apt-get install openssl"
OPENSSL_TIMEOUT_SEC = 60


@dataclass(frozen=True, slots=True)
class Certificates:
    """
    PEM files in one folder.

    `broker` holds the broker's key and certificate in one file, as Kafka wants it.
    """

    directory: Path

    @property
    def ca(self) -> Path:
        """The authority that signed both."""
        return self.directory / "ca.pem"

    @property
    def broker(self) -> Path:
        """Key and certificate of the broker at 127.0.0.1."""
        return self.directory / "broker.pem"

    @property
    def client_cert(self) -> Path:
        """The client's certificate."""
        return self.directory / "client.crt"

    @property
    def client_key(self) -> Path:
        """Its key."""
        return self.directory / "client.key"


def make_certificates(directory: Path) -> Certificates:
    """Make them in `directory`, or return those that are there. Raises ServiceError."""
    made = Certificates(directory)
    if made.broker.exists():
        return made
    directory.mkdir(parents=True, exist_ok=True)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    ca_key = directory / "ca.key"
    authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl("req", "-x509", *new_key, "-subj", "/CN=redline development CA", "-days", DAYS, *authority,
             "-keyout", ca_key, "-out", made.ca)  # fmt: skip
    for name, subject, names in (
        ("broker", "/CN=127.0.0.1", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ("client", "/CN=redline", "subjectAltName=DNS:redline"),
    ):
        key, request, certificate = (directory / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        _openssl("req", *new_key, "-subj", subject, "-addext", names, "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", made.ca, "-CAkey", ca_key, "-CAcreateserial",
                 "-copy_extensions", "copy", "-days", DAYS, "-out", certificate)  # fmt: skip
    made.broker.write_bytes((directory / "broker.key").read_bytes() + (directory / "broker.crt").read_bytes())
    return made


def _openssl(*arguments: str | Path) -> None:
    program = find_program("openssl")
    if program is None:
        raise ServiceError(OPENSSL_HINT)
    done = subprocess.run(  # noqa: S603 - our own command line, no shell
        [program, *arguments], capture_output=True, text=True, timeout=OPENSSL_TIMEOUT_SEC, check=False
    )
    if done.returncode != 0:
        raise ServiceError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
