"""
How far a file has been sent, kept beside the data, so that a run that was cut short goes on.

Kept is the number of records up to the last message that the broker has confirmed, in order. A file
counts as the same when it begins the same and has not become shorter: an export that grew is
sent from where it ended.
"""

import os
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import orjson

HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileMark:
    """What a file was: its size in bytes, and the digest of its first `head` bytes."""

    size: int
    head: int
    digest: str


@dataclass(frozen=True, slots=True)
class Progress:
    """`records` were read and confirmed; `finished` when that was the whole file."""

    mark: FileMark
    records: int = 0
    finished: bool = False


def mark_of(path: Path, *, head: int = HEAD_BYTES) -> FileMark:
    """The mark of a file by its first `head` bytes. Raises OSError."""
    with path.open("rb") as stream:
        begin = stream.read(head)
    return FileMark(path.stat().st_size, len(begin), sha256(begin).hexdigest())


class SendProgress:
    """
    The progress of one file to one broker. `folder` holds a small file for each.

    `resume` says where to go on: 0 for a file that is new, another one by now, or was sent
    whole and is unchanged.
    """

    def __init__(self, folder: Path, path: Path, target: str) -> None:
        self._path = path
        name = sha256(f"{path.resolve()}\0{target}".encode()).hexdigest()[:24]
        self._file = folder / f"{name}.json"
        self._progress = Progress(mark_of(path))

    def resume(self) -> int:
        """How many records of the file are with the broker already."""
        known = self._load()
        if known is None or not self._is_same(known.mark):
            return 0
        unchanged = known.mark.size == self._progress.mark.size
        if known.finished and unchanged:
            return 0
        self._progress = replace(self._progress, records=known.records)
        return known.records

    def reached(self, records: int) -> None:
        """Keep that so many records are confirmed. Raises OSError."""
        self._progress = replace(self._progress, records=records)
        self._save()

    def finish(self) -> None:
        """Keep that the file was sent to its end."""
        self._progress = replace(self._progress, finished=True)
        self._save()

    def _is_same(self, mark: FileMark) -> bool:
        if self._progress.mark.size < mark.size:
            return False
        return mark_of(self._path, head=mark.head).digest == mark.digest

    def _load(self) -> Progress | None:
        try:
            told = orjson.loads(self._file.read_bytes())
            return Progress(FileMark(**told["mark"]), int(told["records"]), bool(told["finished"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None  # never sent, or no file of ours: from the beginning, which is harmless

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(orjson.dumps(asdict(self._progress)))
        temporary.replace(self._file)
