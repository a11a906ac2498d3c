"""What would judge if another pack or model were in service: for replays, never for live messages."""

from dataclasses import dataclass
from pathlib import Path

from deploy.event_store import open_event_store
from deploy.settings import Settings
from deploy.wiring import build_cascade, load_rules, model_store
from detectors.cascade import Cascade
from detectors.classifier import ModelDetector, OnnxClassifier
from streams.replay import Bench


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    What differs from the settings. `model` is a model folder or a version of the model store; `rules_only`
    goes without one.

    The case memory judges beside a model as it does in a worker. Called, it opens the settings'
    event store and builds the judge: once in each process.
    """

    settings: Settings
    pack: Path | None = None
    model: str | None = None
    rules_only: bool = False

    def __call__(self) -> Bench:
        """Raises PackError and ModelError: a candidate that does not load is not passed over."""
        return Bench(open_event_store(self.settings), self.cascade())

    def cascade(self) -> Cascade:
        """The judge."""
        changes: dict[str, object] = {} if self.pack is None else {"pack": self.pack}
        if self.rules_only:
            changes["use_model"] = False
        settings = self.settings.model_copy(update=changes)
        if self.model is None:
            return build_cascade(settings)
        pack = load_rules(settings)
        classifier = OnnxClassifier(self._folder(self.model))
        model = ModelDetector(classifier, pack.catalogue, may_deny=settings.model_may_deny)
        return build_cascade(settings, pack=pack, model=model)

    def _folder(self, name: str) -> Path:
        folder = Path(name)
        return folder if folder.is_dir() else model_store(self.settings).find(name).folder
