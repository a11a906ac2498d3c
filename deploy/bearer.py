"""Who may ask the scoring service: those who bear its token."""

import hmac
import logging
from ipaddress import ip_address

log = logging.getLogger(__name__)


def bears(authorization: str, token: str) -> bool:
    """Whether an Authorization header is `Bearer` with this token. How long it takes says nothing of the token."""
    scheme, _, given = authorization.partition(" ")
    # Bytes: a comparison of strings would raise for what is not ASCII.
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def warn_if_open(host: str, token: str | None) -> None:
    """Tell the log when anybody in the network may ask."""
    if token is None and not _is_loopback(host):
        log.warning(
            "scoring on %s without a token: anybody who reaches it may ask; set REDLINE_SCORE_TOKEN, or serve "
            "it on 127.0.0.1 behind a gateway of yours",
            host,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
