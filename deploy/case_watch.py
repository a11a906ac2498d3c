"""Follows the file of the case memory: what reviewers decided is taken up while the process runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import structlog

from deploy.missing import MissingDetector
from deploy.model_watch import RETRY_AFTER_SEC
from detectors.base import Detector
from detectors.case_file import CaseFile, read_cases
from detectors.classifier import ModelDetector
from detectors.errors import CaseMemoryError
from detectors.memory import CaseMemory, MemoryDetector
from rules.catalogue import Catalogue

log = structlog.get_logger(__name__)

Signature = tuple[int, int, int] | None

# The file is there, but what it looks like cannot be seen.
UNSEEN: Signature = (0, 0, 0)


@dataclass(slots=True)
class CaseWatch:
    """
    The case memory beside the model in service, and a look at its file now and then.

    A change is taken up whole; cases that were there before are not read again. A file that
    cannot be used leaves the cases known so far in service, also beside another model; where none
    are known, a stand-in makes verdicts degraded. The log says so, once for each state of the file
    and each reason. It is tried again when the file changes, and every `RETRY_AFTER_SEC`.
    `time_sec` never goes back.
    """

    path: Path
    time_sec: Callable[[], float] = monotonic
    _seen: Signature = field(init=False)
    # Once there was a file, its absence no longer says that nothing was decided.
    _decided: bool = field(init=False)
    _known: CaseFile | None = field(init=False, default=None)
    _failed_sec: float | None = field(init=False, default=None)
    _told: tuple[Signature, str, str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._seen = _signature(self.path)
        self._decided = self._seen is not None

    def look(
        self, current: Detector | None, model: Detector | None, catalogue: Catalogue
    ) -> tuple[bool, Detector | None]:
        """Whether another memory is to serve from now on, and which."""
        if _signature(self.path) == self._seen and not self._retry_due():
            return False, current
        fresh = self.beside(model, catalogue, current)
        if _version(fresh) == _version(current):
            return False, current
        if isinstance(fresh, MemoryDetector):
            log.info("case_memory_taken_up", cases=len(fresh.memory.known), version=fresh.version)
        return True, fresh

    def beside(
        self, model: Detector | None, catalogue: Catalogue, current: Detector | None = None
    ) -> Detector | None:
        """
        The memory for a model; what `current` has of the same model is not read again.

        None where nothing was decided yet, where there is no model, or where the model was made
        without a space for it (the log says so).
        """
        # Before reading: what changes meanwhile is then seen at the next look.
        self._seen = _signature(self.path)
        self._decided = self._decided or self._seen is not None
        self._failed_sec = None
        if not isinstance(model, ModelDetector) or not self._decided:
            return None
        classifier = model.classifier
        if classifier.space is None:
            log.warning(
                "case_memory_off", model=model.version, reason="the model was made without a space for it"
            )
            return None
        kept = current if isinstance(current, MemoryDetector) and current.classifier is classifier else None
        try:
            file = self._file(model)
            memory = CaseMemory.build(file, classifier, earlier=kept.memory if kept is not None else None)
        except CaseMemoryError as error:
            return self._not_placed(str(error), model, kept)
        except Exception as error:  # whatever the runtime raises; its text may quote what was said
            return self._not_placed(f"the cases cannot be placed: {type(error).__name__}", model, kept)
        if self._failed_sec is None:
            self._told = None
        return MemoryDetector(memory, classifier, catalogue)

    def _file(self, model: ModelDetector) -> CaseFile:
        """What the file says; where it cannot be used, what it said before."""
        try:
            self._known = read_cases(self.path)
        except CaseMemoryError as error:
            if self._known is None:
                raise
            if self._failed(str(error), model):
                log.error(
                    "case_memory_gone" if self._seen is None else "case_memory_refused",
                    reason=str(error),
                    kept=self._known.version,
                )
        return self._known

    def _not_placed(self, reason: str, model: ModelDetector, kept: MemoryDetector | None) -> Detector:
        new = self._failed(reason, model)
        if kept is not None:
            if new:
                log.error("case_memory_refused", reason=reason, kept=kept.version)
            return kept
        if new:
            log.error("case_memory_not_loaded", reason=reason, effect="verdicts are degraded")
        return MissingDetector("memory", reason)

    def _failed(self, reason: str, model: ModelDetector) -> bool:
        """Whether this is news."""
        self._failed_sec = self.time_sec()
        before, self._told = self._told, (self._seen, model.version, reason)
        return before != self._told

    def _retry_due(self) -> bool:
        return self._failed_sec is not None and self.time_sec() - self._failed_sec >= RETRY_AFTER_SEC


def _version(detector: Detector | None) -> str | None:
    return detector.version if detector is not None else None


def _signature(path: Path) -> Signature:
    """None where there is no file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNSEEN
    return found.st_ino, found.st_size, found.st_mtime_ns
