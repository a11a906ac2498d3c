"""Lines of a file or of standard input, in bounded memory whatever the file holds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from streams.errors import InvalidMessage
from streams.readers.base import BadRecord, bad_record
from streams.readers.errors import UnreadableSource
from streams.wire import MAX_RECORD_BYTES

Source = Path | Literal["-"]

_BOM = b"\xef\xbb\xbf"
_FOREIGN = {
    b"\xff\xfe": "UTF-16 text: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)",
    b"\xfe\xff": "UTF-16 text: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)",
    b"\x1f\x8b": "gzip: unpack it first, or pipe it (gunzip -c FILE | redline scan -)",
    b"PK\x03\x04": "a zip archive or Excel workbook: save the sheet as CSV UTF-8",
}


@dataclass(frozen=True, slots=True)
class Line:
    """
    One physical line without its line end, numbered from 1.

    `size` is its full length in bytes; `data` is only its beginning when the line
    is longer than one record may be.
    """

    number: int
    data: bytes
    size: int

    @property
    def blank(self) -> bool:
        """Nothing but white space."""
        return not self.data.strip()

    @property
    def cut(self) -> bool:
        """`data` is not the whole line."""
        return self.size > len(self.data)


@contextmanager
def open_source(path: Source) -> Iterator[BinaryIO]:
    """The bytes of a file or of standard input. Raises `UnreadableSource`, also while reading."""
    try:
        if path == "-":
            yield sys.stdin.buffer
        else:
            with path.open("rb") as stream:
                yield stream
    except OSError as error:
        raise UnreadableSource(str(path), f"cannot be read: {error.strerror or error}") from error


def bounded_lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """
    Every line, blank ones too; CRLF and a leading byte order mark are taken off.

    Holds at most one record's worth of bytes. Raises `UnreadableSource` where the
    first bytes belong to another format.
    """
    number = 0
    limit = MAX_RECORD_BYTES + 2
    while data := stream.readline(limit):
        number += 1
        size = len(data)
        if number == 1:
            for magic, what in _FOREIGN.items():
                if data.startswith(magic):
                    raise UnreadableSource(name, f"this is {what}")
            data = data.removeprefix(_BOM)
            size = len(data)
        if size >= MAX_RECORD_BYTES and not data.endswith(b"\n"):
            while rest := stream.readline(limit):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
            if size > MAX_RECORD_BYTES + 2:
                data = data[:MAX_RECORD_BYTES]
                yield Line(number, data, size)
                continue
        stripped = data.removesuffix(b"\n").removesuffix(b"\r")
        yield Line(number, stripped, len(stripped))


def too_long(line: Line, field: str | None = None) -> BadRecord:
    """The bad record for a line that is longer than a record may be, in `field` where one can be told."""
    detail = f"the line has about {line.size:,} bytes, a record may have {MAX_RECORD_BYTES:,}: split it"
    return bad_record(line.number, InvalidMessage("too_large", detail, field=field), line.data)


def blank_line(number: int) -> BadRecord:
    """The bad record for an empty line between records."""
    return BadRecord(number, "blank_line", "a line without a record: remove it", None, "")


def empty_source(detail: str) -> BadRecord:
    """The bad record for a source that holds no record at all."""
    return BadRecord(1, "empty_file", detail, None, "")


def decoded(line: Line, encoding: str, field_after: Callable[[str], str | None] | None = None) -> str:
    """
    The line as text. Raises `InvalidMessage` naming the byte and the way out.

    `field_after` tells the field from the text before that byte.
    """
    try:
        return line.data.decode(encoding)
    except UnicodeDecodeError as error:
        detail = (
            f"byte {error.start + 1} (0x{line.data[error.start]:02X}) is not {encoding}: "
            "convert the file to UTF-8, or name its encoding (exports of Chinese Windows: gb18030)"
        )
        reason = "invalid_utf8" if encoding.lower().replace("-", "") == "utf8" else "bad_encoding"
        before = line.data[: error.start].decode(encoding, errors="replace")
        field = field_after(before) if field_after is not None else None
        raise InvalidMessage(reason, detail, field=field) from None
