"""Follows the file of the case memory: what reviewers decided is taken up while the process runs."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from deploy.missing import MissingDetector
from detectors.base import Detector
from detectors.case_file import read_cases
from detectors.classifier import ModelDetector
from detectors.errors import CaseMemoryError
from detectors.memory import CaseMemory, MemoryDetector
from rules.catalogue import Catalogue

log = structlog.get_logger(__name__)

Signature = tuple[int, int, int] | None


def memory_detector(path: Path, model: Detector | None, catalogue: Catalogue) -> Detector | None:
    """
    The case memory beside the model in service.

    None where nothing was decided yet, where there is no model, or where the model was made
    without a space for it (the log says so). A damaged file gives a stand-in: verdicts are
    degraded until the desk has written it again.
    """
    if not isinstance(model, ModelDetector) or not path.exists():
        return None
    if model.classifier.space is None:
        log.warning(
            "case_memory_off", model=model.version, reason="the model was made without a space for it"
        )
        return None
    try:
        memory = CaseMemory.build(read_cases(path), model.classifier)
    except CaseMemoryError as error:
        log.error("case_memory_not_loaded", reason=str(error), effect="verdicts are degraded")
        return MissingDetector("memory", str(error))
    return MemoryDetector(memory, model.classifier, catalogue)


@dataclass(slots=True)
class CaseWatch:
    """
    A look at the file now and then.

    A change is taken up whole; cases that were there before are not read again. A file that
    cannot be used leaves the old memory in service and is told in the log, once.
    """

    path: Path
    _seen: Signature = None

    def __post_init__(self) -> None:
        self._seen = _signature(self.path)

    def look(
        self, current: Detector | None, model: Detector | None, catalogue: Catalogue
    ) -> tuple[bool, Detector | None]:
        """Whether another memory is to serve from now on, and which."""
        now = _signature(self.path)
        if now == self._seen:
            return False, current
        taken_up = self._take_up(now, current, model, catalogue)
        # Only now: what raised is tried again at the next look.
        self._seen = now
        return taken_up

    def _take_up(
        self, now: Signature, current: Detector | None, model: Detector | None, catalogue: Catalogue
    ) -> tuple[bool, Detector | None]:
        if not isinstance(current, MemoryDetector) or not isinstance(model, ModelDetector):
            fresh = memory_detector(self.path, model, catalogue)
            return fresh is not current, fresh
        if now is None:
            log.error("case_memory_gone", path=str(self.path), kept=current.version)
            return False, current
        try:
            memory = CaseMemory.build(read_cases(self.path), model.classifier, earlier=current.memory)
        except CaseMemoryError as error:
            log.error("case_memory_refused", reason=str(error), kept=current.version)
            return False, current
        log.info("case_memory_taken_up", cases=len(memory.known), version=memory.version)
        return True, MemoryDetector(memory, model.classifier, catalogue)


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
