"""The weekly loop: what reviewers decided becomes training data, a candidate model, and a decision about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detectors.manifest import Manifest, read_manifest
from detectors.model_store import LedgerEntry, ModelStore
from feedback.augment.rewriter import Rewriter
from feedback.dataset import Snapshot, build_snapshot, split_of, write_snapshot
from feedback.evaluation.metrics import Evaluation
from feedback.gate import GateDecision, GatePolicy, decide
from feedback.labelled import LabelledTurn
from feedback.training.finetune import OnStep
from feedback.training.scoring import found_labels, open_model, score_folder
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
    """What one run did, for the ledger and for people."""

    dataset: Snapshot
    candidate: Manifest
    serving_version: str
    candidate_scores: Evaluation
    serving_scores: Evaluation
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
    Build the dataset, train a candidate, compare it with the model in service, promote or refuse.

    Starts from the model in service, which keeps what it learnt from data that is not
    here; from a pre-trained encoder where `base` is given. Its second reader stays
    where it reads as the new one does. Files go to `work`: the
    dataset by its hash, the candidate by the time of the run. Nothing in service
    changes unless the gate says yes and `promote` is true. `rewriter` makes the samples of the source
    `paraphrase`, of the corpus only: no case is sent to it.
    """
    snapshot = build_snapshot(corpus, cases, labels)
    write_snapshot(snapshot, work / "datasets")
    say(
        f"dataset {snapshot.description.hash[:16]}: {snapshot.description.messages} messages, {len(cases)} reviewed cases"
    )
    serving_folder = store.current()
    serving = read_manifest(serving_folder)
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
    candidate_scores, serving_scores = (
        score_folder(path, snapshot.test, labels) for path in (folder, serving_folder)
    )
    # Only cases that the candidate did not learn from can speak for it.
    held_out = [case for case in cases if split_of(case) == "dev"]
    decision = decide(
        candidate_scores,
        serving_scores,
        cases_candidate=_agreement(folder, held_out, labels),
        cases_serving=_agreement(serving_folder, held_out, labels),
        policy=policy,
    )
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
        snapshot, candidate, serving.version, candidate_scores, serving_scores, decision, len(cases)
    )


def _weighted(snapshot: Snapshot) -> Snapshot:
    """The training part with every reviewed case repeated."""
    repeated = [row for row in snapshot.train if row.origin == "case"] * (CASE_WEIGHT - 1)
    return Snapshot((*snapshot.train, *repeated), snapshot.dev, snapshot.test, snapshot.description)


def _agreement(folder: Path, cases: Sequence[LabelledTurn], labels: Sequence[str]) -> float:
    """Share of reviewed cases in which the model says violation or not as the reviewer did."""
    if not cases:
        return 1.0
    found = found_labels(open_model(folder), cases, labels)
    return sum(
        bool(labels_found) == bool(case.labels) for labels_found, case in zip(found, cases, strict=True)
    ) / len(cases)
