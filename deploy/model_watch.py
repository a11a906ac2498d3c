"""Follows the model store: which model should serve, and whether loading it was tried already."""

from dataclasses import dataclass
from pathlib import Path

from detectors.errors import ModelError
from detectors.model_store import CURRENT_FILE, ModelStore

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

    Loading is tried once for each state of pointer and folder: a model that does not load is
    neither loaded nor told again until one of them changes.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._tried: StoreState | None = None
        self._serving: Path | None = None

    def look(self) -> StoreState | None:
        """The state to try now; None where the model that serves is the one named, or this was tried."""
        now = self.state()
        if now == self._tried or (self._serving is not None and now.folder == self._serving):
            return None
        return now

    def state(self) -> StoreState:
        """How the store is now. Take it before loading: what changes meanwhile is then seen afterwards."""
        try:
            folder = self._store.current()
        except ModelError:
            folder = None
        pointer = self._store.root / CURRENT_FILE
        return StoreState(folder, _signature(pointer), _signature(folder) if folder is not None else ())

    def serves(self, state: StoreState) -> None:
        """The model of this state was loaded and serves."""
        self._tried, self._serving = state, state.folder

    def refused(self, state: StoreState, *, kept: bool) -> None:
        """The model of this state does not load. Whether the one before was `kept`; else none serves."""
        self._tried = state
        if not kept:
            self._serving = None


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
