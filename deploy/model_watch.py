"""Follows the model store: which model should serve, and whether loading it was tried already."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from detectors.errors import ModelError
from detectors.model_store import CURRENT_FILE, ModelStore

# What failed for want of memory or of a disk heals without a change of any file. Seldom, for a load costs seconds.
RETRY_AFTER_SEC = 300.0

# Name, size and times of change of every file: what can be seen without reading them.
Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class StoreState:
    """What the store names to serve, and how it looks from outside. `folder` is None where it names none."""

    folder: Path | None
    pointer: Signature
    files: Signature


class ModelWatch:
    """
    A look at the store now and then.

    A model that does not load is tried again when pointer or folder change, and every
    `RETRY_AFTER_SEC`. `time_sec` never goes back.
    """

    def __init__(self, store: ModelStore, *, time_sec: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._time_sec = time_sec
        self._serving: Path | None = None
        # What was refused last, and why.
        self._refused: tuple[StoreState, str] | None = None
        self._retry_sec = 0.0

    def look(self) -> StoreState | None:
        """The state to try now; None where the model that serves is the one named, or this was refused lately."""
        now = self.state()
        if self._serving is not None and now.folder == self._serving:
            return None
        if self._refused is not None and now == self._refused[0] and self._time_sec() < self._retry_sec:
            return None
        return now

    def state(self) -> StoreState:
        """How the store is now. Take it before loading: what changes meanwhile is then seen afterwards."""
        try:
            folder = self._store.current()
        except (ModelError, OSError):
            folder = None
        pointer = self._store.root / CURRENT_FILE
        return StoreState(folder, _signature(pointer), _signature(folder) if folder is not None else ())

    def serves(self, state: StoreState) -> None:
        """The model of this state was loaded and serves."""
        self._serving, self._refused = state.folder, None

    def refused(self, state: StoreState, reason: str, *, kept: bool) -> bool:
        """
        The model of this state does not load. Whether the one before was `kept`; else none serves.

        True where this is news: another state, or another reason than the last time.
        """
        before, self._refused = self._refused, (state, reason)
        self._retry_sec = self._time_sec() + RETRY_AFTER_SEC
        if not kept:
            self._serving = None
        return before != self._refused

    def retry_now(self) -> None:
        """What was refused may load now, for something beside the store changed."""
        self._retry_sec = self._time_sec()


def _signature(path: Path) -> Signature:
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        found = []
        for file in files:
            facts = file.stat()
            found.append(
                (file.relative_to(path).as_posix(), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            )
    except OSError:
        return ()
    return tuple(found)
