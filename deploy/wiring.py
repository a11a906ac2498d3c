"""Chooses the concrete parts and puts them together."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic

import structlog

from deploy.case_watch import CaseWatch
from deploy.clock import utc_now as utc_now
from deploy.event_store import open_event_store as open_event_store
from deploy.failing import FailureLog
from deploy.missing import MissingDetector
from deploy.model_watch import RETRY_AFTER_SEC, ModelWatch
from deploy.pack_watch import PackWatch, load_checked
from deploy.settings import Settings
from detectors.base import Detector, FailureWatch
from detectors.cascade import Cascade
from detectors.classifier import ModelDetector, OnnxClassifier, unread_labels
from detectors.domain import Turn, Verdict, Versions
from detectors.errors import ModelError
from detectors.memory import MemoryDetector
from detectors.model_store import ModelStore
from detectors.rule_detector import RuleDetector
from rules.catalogue import Catalogue
from rules.engine import Engine
from rules.known_expressions import KNOWN
from rules.model import Pack
from streams.context import ConversationContext, MemoryContext
from streams.pipeline import Judge, Pipeline

DISTRIBUTION = "redline-compliance"

log = structlog.get_logger(__name__)


def code_version() -> str:
    """Version of the installed distribution."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "uninstalled"


def load_rules(settings: Settings) -> Pack:
    """The pack that the settings name. Raises PackError with all its problems."""
    KNOWN.restore(_known_expressions(settings))
    return load_checked(settings.pack)


def _known_expressions(settings: Settings) -> Path:
    """What is known of the rules' expressions, so that no process works it out again."""
    return settings.data_dir / "cache" / "expressions.json"


def _rule_detector(settings: Settings, pack: Pack) -> RuleDetector:
    detector = RuleDetector(Engine(pack))
    if settings.data_dir.is_dir():  # else a command would leave a folder behind that nobody asked for
        KNOWN.keep(_known_expressions(settings))
    return detector


def catalogue_version(pack: Pack) -> str:
    """Jurisdiction and version of the pack's risk catalogue, as verdicts name it."""
    return f"{pack.catalogue.jurisdiction}-{pack.catalogue.version}"


def model_store(settings: Settings) -> ModelStore:
    """The model store that the settings name."""
    return ModelStore(settings.model_store_dir)


def model_detector(settings: Settings, pack: Pack) -> Detector | None:
    """The classifier in service; a stand-in that says why when it cannot be loaded; None when switched off."""
    if not settings.use_model:
        return None
    try:
        return load_model(settings, pack.catalogue)
    except ModelError as error:
        log.error(
            "model_not_loaded",
            reason=str(error),
            effect="verdicts are degraded; unflagged messages are undecided",
        )
        return MissingDetector("model", str(error))


def load_model(settings: Settings, catalogue: Catalogue) -> ModelDetector:
    """The classifier in service. Raises ModelError when it cannot be loaded."""
    try:
        classifier = OnnxClassifier(model_store(settings).current(), threads=settings.model_threads)
    except OSError as error:
        raise ModelError(f"the model in service cannot be read: {error}") from error
    detector = ModelDetector(classifier, catalogue, may_deny=settings.model_may_deny)
    _tell_unread(detector)
    return detector


def _tell_unread(model: ModelDetector) -> None:
    if unread := unread_labels(model.classifier.manifest, model.catalogue):
        log.warning(
            "model_lacks_labels",
            model=model.version,
            labels=unread,
            effect="the model never finds these: rules and decided cases do",
        )


def build_cascade(
    settings: Settings,
    *,
    pack: Pack | None = None,
    model: Detector | None = None,
    rules: bool = True,
    clock: Callable[[], datetime] = utc_now,
    watch: FailureWatch | None = None,
    cases: CaseWatch | None = None,
) -> Cascade:
    """
    Rules, the model (the one in service unless another is given), and what reviewers decided.

    What fails while judging is told to `watch`, else to the log. `cases` is who follows the case
    memory from then on.
    """
    pack = pack or load_rules(settings)
    model = model or model_detector(settings, pack)
    memory = (cases or CaseWatch(settings.case_memory_path)).beside(model, pack.catalogue)
    detectors: list[Detector] = [_rule_detector(settings, pack)] if rules else []
    detectors += [detector for detector in (model, memory) if detector is not None]
    versions = Versions(
        catalogue=catalogue_version(pack),
        pack=pack.hash,
        model=model.version if model is not None else None,
        memory=memory.version if memory is not None else None,
        code=code_version(),
    )
    return Cascade(detectors, pack.catalogue, versions, clock, watch=watch or FailureLog())


class ReloadingJudge:
    """
    A cascade that is rebuilt when another model was promoted, the rules changed, or a case was decided.

    `follow` looks and builds; call it every `settings.model_check_s` from a thread of its own, so
    that no batch waits for it. The swap is one assignment: a batch is judged by one model and
    one pack. A promoted model that does not load, and a pack that is broken, leave the old one in
    service and are told in the log, once for each state of the folder and each reason; such a model
    is tried again now and then. Only a pack without a label of the model in service ends that model:
    where the promoted one does not load either, verdicts are degraded. Every verdict names the pack
    and the model that really judged it. `watch` is told which detectors fail; without one the log
    is. `time_sec` says when to try again; it never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = utc_now,
        watch: FailureWatch | None = None,
        time_sec: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._watch = watch or FailureLog()
        self._rules = PackWatch(settings.pack, load_rules(settings))
        self._models = ModelWatch(model_store(settings), time_sec=time_sec)
        self._cases = CaseWatch(settings.case_memory_path, time_sec=time_sec)
        self._cascade = self._built(self._rules.pack)
        log.info(
            "judging",
            pack=self.versions.pack,
            model=self.versions.model,
            memory=self.versions.memory,
            memory_file=str(settings.case_memory_path),
        )

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """One verdict per turn, by the model in service."""
        return self._cascade.judge(turns)

    def follow(self) -> None:
        """Take up what changed since the last time. For one thread at a time, which need not be that of `judge`."""
        self._follow_rules()
        self._follow_store()
        self._follow_cases()
        for detector in self._cascade.detectors:
            if isinstance(detector, RuleDetector):
                detector.engine.warm_up()

    @property
    def versions(self) -> Versions:
        """What judges right now: pack hash, model, code."""
        return self._cascade.versions

    @property
    def catalogue(self) -> Catalogue:
        """The risk catalogue of the pack in service."""
        return self._cascade.catalogue

    def _follow_rules(self) -> None:
        if self._rules.look():
            self._cascade = self._with_rules(self._rules.pack)

    def _with_rules(self, pack: Pack) -> Cascade:
        """The cascade with another pack. What is loaded stays, unless its labels are no longer in the catalogue."""
        before = self._cascade
        try:
            detectors = [self._fitted(detector, pack) for detector in before.detectors]
        except ModelError:
            return self._built(pack)
        if list(before.catalogue.labels) != list(pack.catalogue.labels):
            self._models.retry_now()
            for detector in detectors:
                if isinstance(detector, ModelDetector):
                    _tell_unread(detector)
        versions = replace(before.versions, catalogue=catalogue_version(pack), pack=pack.hash)
        return self._joined(detectors, pack.catalogue, versions)

    def _fitted(self, detector: Detector, pack: Pack) -> Detector:
        """The same detector with another pack. Raises ModelError for a model with labels that the pack lacks."""
        match detector:
            case RuleDetector():
                return _rule_detector(self._settings, pack)
            case ModelDetector():
                return ModelDetector(
                    detector.classifier, pack.catalogue, may_deny=self._settings.model_may_deny
                )
            case MemoryDetector():
                return MemoryDetector(detector.memory, detector.classifier, pack.catalogue)
            case _:
                return detector

    def _built(self, pack: Pack) -> Cascade:
        """Everything anew."""
        state = self._models.state()
        cascade = build_cascade(
            self._settings, pack=pack, clock=self._clock, watch=self._watch, cases=self._cases
        )
        for each in cascade.detectors:
            if isinstance(each, MissingDetector) and each.name == "model":
                self._models.refused(state, each.why, kept=False)
                return cascade
        self._models.serves(state)
        return cascade

    def _joined(self, detectors: Sequence[Detector], catalogue: Catalogue, versions: Versions) -> Cascade:
        return Cascade(detectors, catalogue, versions, self._clock, watch=self._watch)

    def _follow_cases(self) -> None:
        before = self._cascade
        by_name = {detector.name: detector for detector in before.detectors}
        changed, memory = self._cases.look(by_name.get("memory"), by_name.get("model"), before.catalogue)
        if not changed:
            return
        others = [detector for detector in before.detectors if detector.name != "memory"]
        versions = replace(before.versions, memory=memory.version if memory is not None else None)
        detectors = [*others, memory] if memory is not None else others
        self._cascade = self._joined(detectors, before.catalogue, versions)

    def _follow_store(self) -> None:
        """Another model beside the same rules: they are not built again, whether it loads or not."""
        state = self._models.look() if self._settings.use_model else None
        if state is None:
            return
        before = self._cascade
        try:
            model = load_model(self._settings, before.catalogue)
        except ModelError as error:
            if self._models.refused(state, str(error), kept=True):
                log.error(
                    "model_swap_refused",
                    kept=before.versions.model,
                    reason=str(error),
                    effect=(
                        "it is tried again when the pointer or the folder changes, "
                        f"and every {RETRY_AFTER_SEC:.0f} s"
                    ),
                )
            return
        memory = self._cases.beside(model, before.catalogue)
        rules = [detector for detector in before.detectors if isinstance(detector, RuleDetector)]
        versions = replace(
            before.versions, model=model.version, memory=memory.version if memory is not None else None
        )
        others = [model] if memory is None else [model, memory]
        self._cascade = self._joined([*rules, *others], before.catalogue, versions)
        self._models.serves(state)
        log.info("model_swapped", before=before.versions.model, after=model.version)


def build_pipeline(judge: Judge, context: ConversationContext | None = None) -> Pipeline:
    """The pipeline over a bounded context in memory, unless another is given."""
    return Pipeline(judge, context or MemoryContext())


def desk_secret(settings: Settings) -> str:
    """The session key: from the settings, or made once and kept readable to the owner alone."""
    if settings.desk_secret:
        return settings.desk_secret.get_secret_value()
    path = settings.data_dir / "desk.secret"
    if not path.exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48), "ascii")
    return path.read_text("ascii")
