"""The file of the case memory: what people decided, in a form that every scorer can read."""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from detectors.domain import Speaker
from detectors.errors import CaseMemoryError
from detectors.manifest import Strict

CASE_FILE_SCHEMA = 1
MOST_CASES = 1000
MOST_BYTES = 16 * 1024 * 1024
MOST_HEADER_BYTES = 256
MOST_CONTEXT = 3

Said = tuple[Speaker, Annotated[str, Field(max_length=20_000)]]


class RememberedCase(Strict):
    """
    One decided case.

    `said` ends with the message that was judged; what was said before it comes first.
    `evidence` are code-point spans of that message. A dismissed case has no labels.
    """

    case_id: str = Field(min_length=1, max_length=64)
    action: Literal["confirmed", "dismissed"]
    labels: tuple[str, ...] = ()
    decided_at: datetime
    said: tuple[Said, ...] = Field(min_length=1, max_length=MOST_CONTEXT + 1)
    evidence: tuple[tuple[int, int], ...] = ()


class _Header(Strict):
    schema_version: Literal[1]
    cases: int = Field(ge=0, le=MOST_CASES)
    sha256: str


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Cases, and a version that changes with any of them."""

    version: str
    cases: tuple[RememberedCase, ...]


def that_fit(newest_first: Iterable[RememberedCase]) -> list[RememberedCase]:
    """The latest cases that one file holds, oldest first. No case is asked for once the file is full."""
    kept: list[RememberedCase] = []
    room = MOST_BYTES - MOST_HEADER_BYTES
    for case in newest_first:
        room -= len(_line(case))
        if room < 0:
            break
        kept.append(case)
        if len(kept) == MOST_CASES:
            break
    return kept[::-1]


def encode_cases(cases: Sequence[RememberedCase]) -> bytes:
    """A header line with the hash of the rest, then one case a line. Raises ValueError for more than `that_fit`."""
    if len(cases) > MOST_CASES:
        msg = f"{len(cases)} cases: at most {MOST_CASES} are remembered"
        raise ValueError(msg)
    body = b"".join(map(_line, cases))
    if len(body) > MOST_BYTES - MOST_HEADER_BYTES:
        msg = f"{len(cases)} cases of {len(body)} bytes: a file of at most {MOST_BYTES} is read"
        raise ValueError(msg)
    header = _Header(schema_version=1, cases=len(cases), sha256=_hash(body))
    return orjson.dumps(header.model_dump()) + b"\n" + body


def write_cases(path: Path, cases: Sequence[RememberedCase]) -> str:
    """Write the file in one step, so that a reader sees the old or the new one; returns its version."""
    content = encode_cases(cases)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No process number: of several desks on a shared volume each is the first process of its container.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return _version(content.split(b"\n", 1)[1])


def read_cases(path: Path) -> CaseFile:
    """
    Read and check a file.

    Raises CaseMemoryError when it is missing, too large, altered or not of this form.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CaseMemoryError(f"{path}: larger than {MOST_BYTES} bytes; let the desk write it again")
        first, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise CaseMemoryError(f"{path} cannot be read: {error.strerror}") from error
    try:
        header = _Header.model_validate_json(first)
        lines = body.splitlines()
        if header.sha256 != _hash(body) or header.cases != len(lines):
            raise CaseMemoryError(
                f"{path} was altered: its SHA-256 is not the one in its first line; let the desk write it again"
            )
        cases = tuple(RememberedCase.model_validate_json(line) for line in lines)
    except ValidationError as error:
        raise CaseMemoryError(f"{path} is no case memory of schema {CASE_FILE_SCHEMA}: {error}") from error
    return CaseFile(_version(body), cases)


def _line(case: RememberedCase) -> bytes:
    return orjson.dumps(case.model_dump(mode="json")) + b"\n"


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _version(body: bytes) -> str:
    return f"cases-{_hash(body)[:16]}"
