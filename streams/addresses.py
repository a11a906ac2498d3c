"""Addresses as people write them in settings and options: checked, and never repeated where a password may be in them."""

from urllib.parse import SplitResult, urlsplit

MAX_PORT = 65535
ENCODE = "percent-encode / : # ? @ [ ] in the user name and password (%2F %3A %23 %3F %40 %5B %5D)"


def host_and_port(text: str) -> tuple[str, int]:
    """Of `host:port`. Raises ValueError where it is none."""
    host, _, port = text.strip().rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdecimal()) or any(mark in host for mark in ",/@ "):
        raise ValueError("not host:port")
    if not 1 <= int(port) <= MAX_PORT:
        raise ValueError(f"a port is 1 to {MAX_PORT}")
    return host, int(port)


def split_url(text: str) -> SplitResult:
    """
    A URL whose host and port can be trusted.

    Where a password is not percent-encoded, the rest of it would be taken for a port, a path or a
    fragment, and be shown as such. Raises ValueError then, without any of the value.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"no URL: the port is no number up to {MAX_PORT}, or {ENCODE}") from None
    if port == 0:
        raise ValueError(f"a port is 1 to {MAX_PORT}")
    if "@" in url.path + url.query + url.fragment:
        raise ValueError(f"there is an @ behind the host: {ENCODE}")
    return url
