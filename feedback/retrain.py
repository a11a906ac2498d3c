"""The weekly loop: what reviewers decided becomes training data, a candidate model, and a decision about it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detectors.errors import ModelError
from detectors.manifest import Manifest, read_manifest
from detectors.model_store import LedgerEntry, ModelStore, StoredModel
from feedback.augment.rewriter import Rewriter
from feedback.dataset import Snapshot, build_snapshot, write_snapshot
from feedback.evaluation.metrics import Evaluation, evaluate
from feedback.gate import GateDecision, GatePolicy, Judged, decide
from feedback.labelled import LabelledTurn
from feedback.training.finetune import OnStep
from feedback.training.scoring import judgements, open_model
from feedback.training.second_reader import kept_from
from feedback.training.settings import FinetuneSettings
from feedback.training.start import start_from_base, start_from_model
from feedback.training.train import train_model

ACTOR = "retrain"
# Gentle: the model in service already knows the task, and what it learnt from real text must stay.
RETRAIN_SETTINGS = FinetuneSettings(epochs=2, rate=4e-5, rehearsal=0.5, serving_share=0.7)
# A reviewed case counts as much as this many corpus messages: it is what the firm's own advisors say.
CASE_WEIGHT = 4


@dataclass(frozen=True, slots=True)
class RetrainReport:
    """
    What one run did, for the ledger and for people.

    `reference_version` is of the model that the gate compares with beside the one in service (see
    `reference_model`); it has no scores where it knows no label of the catalogue.
    """

    dataset: Snapshot
    candidate: Manifest
    serving_version: str
    reference_version: str
    candidate_scores: Evaluation
    serving_scores: Evaluation
    reference_scores: Evaluation | None
    decision: GateDecision
    cases: int


def retrain(
    store: ModelStore,
    corpus: Sequence[LabelledTurn],
    cases: Sequence[LabelledTurn],
    labels: Sequence[str],
    *,
    work: Path,
    settings: FinetuneSettings,
    policy: GatePolicy,
    now: datetime,
    code_version: str,
    on_step: OnStep,
    base: Path | None = None,
    innocent: Sequence[LabelledTurn] = (),
    promote: bool = True,
    rewriter: Rewriter | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RetrainReport:
    """
    Build the dataset, train a candidate, compare it with the model in service and the reference, promote or refuse.

    Starts from the model in service, which keeps what it learnt from data that is not
    here; from a pre-trained encoder where `base` is given. Its second reader stays
    where it reads as the new one does. Files go to `work`: the
    dataset by its hash, the candidate by the time of the run. Nothing in service
    changes unless the gate says yes and `promote` is true, and not where another model came into service
    during the run: with that one nobody compared the candidate. `rewriter` makes the samples of the source
    `paraphrase`, of the corpus only: no case is sent to it.
    """
    snapshot = build_snapshot(corpus, cases, labels)
    write_snapshot(snapshot, work / "datasets")
    say(
        f"dataset {snapshot.description.hash[:16]}: {snapshot.description.messages} messages, {len(cases)} reviewed cases, "
        f"{len(snapshot.held_out_cases)} of them held out"
    )
    if snapshot.golden_copies:
        say(
            f"left out, because they nearly stand in the golden set: {len(snapshot.golden_copies)} reviewed cases"
        )
    serving_folder = store.current()
    serving = read_manifest(serving_folder)
    reference = reference_model(store)
    start = start_from_base(base) if base else start_from_model(serving_folder, serving, labels)
    second = kept_from(serving_folder, labels, start.vocabulary, settings.limits, say=say) if base else None
    folder = work / "candidates" / f"{now:%Y%m%dT%H%M%S}"
    candidate = train_model(
        start,
        _weighted(snapshot),
        innocent,
        labels,
        settings,
        folder,
        created_at=now,
        code_version=code_version,
        on_step=on_step,
        say=say,
        second=second,
        rewriter=rewriter,
    )
    fixed = reference.manifest.version == serving.version
    say("comparing on the golden set")
    by_candidate = _judged_by(folder, "the candidate", snapshot, labels)
    by_serving = _judged_by(
        serving_folder, f"the model in service{', also the reference,' if fixed else ''}", snapshot, labels
    )
    others = [by_serving]
    if not fixed and set(labels).intersection(reference.manifest.labels):
        others.append(_judged_by(reference.folder, "the reference", snapshot, labels, cases=False))
    decision = decide(by_candidate, others, policy=policy)
    decision = _if_still_compared(decision, serving.version, store.current_version())
    store.add(folder, at=now, actor=ACTOR)
    if decision.promoted and promote:
        store.promote(candidate.version, at=now, actor=ACTOR, reasons=decision.reasons)
    elif not decision.promoted:
        store.record(
            LedgerEntry(
                at=now, actor=ACTOR, action="refused", version=candidate.version, reasons=decision.reasons
            )
        )
    return RetrainReport(
        snapshot,
        candidate,
        serving.version,
        reference.manifest.version,
        evaluate(by_candidate.golden, labels),
        evaluate(by_serving.golden, labels),
        evaluate(others[-1].golden, labels) if fixed or len(others) > 1 else None,
        decision,
        len(cases),
    )


def reference_model(store: ModelStore) -> StoredModel:
    """
    What the gate measures against beside the model in service, which moves every week.

    Else each week could lose as much as the gate lets pass, and nobody would see how far that went. It is the model
    that ships with redline, or the last one that a person put into service past the gate, on their word.
    """
    passed: set[str] = set()
    promotions: list[str] = []
    for entry in store.ledger():
        if entry.action == "added" and entry.actor == ACTOR:
            passed.add(entry.version)
        elif entry.action == "refused":
            passed.discard(entry.version)
        elif entry.action == "promoted":
            promotions.append(entry.version)
        elif entry.action == "rolled_back" and promotions:
            promotions.pop()
    for version in reversed(promotions):
        if version not in passed:
            with suppress(ModelError):  # one that was removed measures nothing
                return store.find(version)
    return store.find(read_manifest(store.builtin).version)


def _judged_by(
    folder: Path, name: str, snapshot: Snapshot, labels: Sequence[str], *, cases: bool = True
) -> Judged:
    classifier = open_model(folder)
    manifest = classifier.manifest
    return Judged(
        f"{name} {manifest.version}",
        frozenset(manifest.labels),
        judgements(classifier, snapshot.test, labels),
        judgements(classifier, snapshot.held_out_cases, labels) if cases else None,
    )


def _if_still_compared(decision: GateDecision, compared: str, serving: str) -> GateDecision:
    """The decision, unless another model serves by now than the one that the candidate was compared with."""
    if not decision.promoted or compared == serving:
        return decision
    return GateDecision(
        False,
        (
            f"the candidate was compared with {compared}, but {serving} is in service since, "
            "by a promotion or rollback during this run: run 'redline retrain' again",
        ),
    )


def _weighted(snapshot: Snapshot) -> Snapshot:
    """The training part with every reviewed case repeated."""
    repeated = [row for row in snapshot.train if row.origin == "case"] * (CASE_WEIGHT - 1)
    return Snapshot((*snapshot.train, *repeated), snapshot.dev, snapshot.test, snapshot.description)
