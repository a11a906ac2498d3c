"""Training: small, seeded, and the same pre-processing as in serving."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.classifier import OnnxClassifier
from detectors.domain import Speaker
from detectors.model_store import builtin_model_path
from detectors.tokens import InputLimits, Vocabulary, windows
from feedback.corpus.seed import read_corpus
from feedback.dataset import build_snapshot
from feedback.labelled import LabelledTurn
from feedback.training.errors import TrainingError
from rules.loader import load_pack
from tests.detectors.samples import turn

pytestmark = pytest.mark.training

LABELS = list(load_pack().catalogue.labels)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def corpus() -> list[LabelledTurn]:
    return list(read_corpus())


def test_what_serves_is_what_was_trained(corpus: list[LabelledTurn]) -> None:
    """The quantised graph and the float weights agree, on the same pre-processing."""
    from feedback.training.examples import judged, make_examples
    from feedback.training.finish import encoder_logits
    from feedback.training.weights import load_classifier

    serving = OnnxClassifier(builtin_model_path())
    model, vocabulary = load_classifier(builtin_model_path(), len(LABELS))
    rows = [row for row in judged(corpus) if len(row.turn.message.text) < serving.limits.message][::40]
    examples = make_examples(rows, LABELS, vocabulary, serving.limits)
    assert len(rows) == len(examples)
    scale = np.array([serving.manifest.thresholds[label].scale for label in LABELS])
    shift = np.array([serving.manifest.thresholds[label].shift for label in LABELS])
    logits = encoder_logits(model.eval(), [example.item for example in examples], serving.second)
    logits += serving.beside([row.turn for row in rows])
    floats = 1 / (1 + np.exp(-(logits * scale + shift)))
    served = np.stack([reading.probabilities for reading in serving.read([row.turn for row in rows])])
    assert np.abs(floats - served).mean() < 0.01
    flag = np.array([serving.manifest.thresholds[label].flag for label in LABELS])
    assert ((floats >= flag) == (served >= flag)).mean() > 0.995


def test_the_same_inputs_give_the_same_model(corpus: list[LabelledTurn], tmp_path: Path) -> None:
    from feedback.training.settings import FinetuneSettings
    from feedback.training.start import start_from_base
    from feedback.training.train import train_model

    encoder = small_base(tmp_path)
    snapshot = build_snapshot(corpus[:900], [], LABELS)
    settings = FinetuneSettings(epochs=1)

    def train(name: str) -> str:
        manifest = train_model(
            start_from_base(encoder),
            snapshot,
            [],
            LABELS,
            settings,
            tmp_path / name,
            created_at=NOW,
            code_version="test",
            on_step=lambda step, total, loss: None,
        )
        return manifest.files["weights.npz"]

    assert train("one") == train("two")


def test_a_base_that_is_missing_is_told(tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.weights import load_base

    with pytest.raises(TrainingError, match="redline pretrain"):
        load_base(tmp_path)


def test_too_few_violations_are_refused(corpus: list[LabelledTurn], tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.settings import FinetuneSettings
    from feedback.training.start import start_from_base
    from feedback.training.train import train_model

    snapshot = build_snapshot([row for row in corpus[:300] if not row.labels], [], LABELS)
    with pytest.raises(TrainingError, match="at least 20 are needed"):
        train_model(
            start_from_base(small_base(tmp_path)),
            snapshot,
            [],
            LABELS,
            FinetuneSettings(),
            tmp_path / "out",
            created_at=NOW,
            code_version="test",
            on_step=lambda step, total, loss: None,
        )


@pytest.mark.parametrize("changed", [{"message": 128}, {"context": 128}, {"turns": 8}])
def test_limits_longer_than_the_encoder_can_read_are_told_before_anything_is_trained(
    changed: dict[str, int], corpus: list[LabelledTurn], tmp_path: Path
) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.settings import FinetuneSettings
    from feedback.training.start import start_from_base
    from feedback.training.train import train_model

    with pytest.raises(TrainingError, match=rf"{next(iter(changed))} \d+: at most \d+"):
        train_model(
            start_from_base(small_base(tmp_path)),
            build_snapshot(corpus[:900], [], LABELS),
            [],
            LABELS,
            FinetuneSettings(limits=InputLimits(**changed)),
            tmp_path / "out",
            created_at=NOW,
            code_version="test",
            on_step=lambda step, total, loss: None,
        )


def test_each_window_of_the_corpus_with_evidence_is_taught_and_where_that_stands(
    corpus: list[LabelledTurn],
) -> None:
    """What reviewers' cases may lack, the corpus has: no message of it is taught less, or with less, for their sake."""
    from feedback.training.examples import judged, make_examples

    vocabulary = Vocabulary(sorted({char for row in corpus[:3000] for char in row.turn.message.text}))
    rows = judged(corpus)[::80]
    long = [row for row in judged(corpus) if row.labels and len(row.turn.message.text) > 120][:40]
    for row in [*rows, *long]:
        text, items = windows(row.turn, vocabulary, InputLimits())
        inside = [
            any(left < end and start < right for start, end in row.evidence)
            for left, right in zip(text.starts, text.ends, strict=True)
        ]
        parts = [inside[item.first : item.first + item.length] for item in items]
        taught = [
            (item, part)
            for item, part in zip(items, parts, strict=True)
            if not row.labels or len(items) == 1 or any(part)
        ]
        examples = make_examples([row], LABELS, vocabulary, InputLimits())
        assert [item for item, _ in taught] == [example.item for example in examples]
        for example, (_, part) in zip(examples, taught, strict=True):
            assert [label in row.labels for label in LABELS] == (example.targets == 1).tolist()
            assert example.marks is not None
            assert np.array_equal(np.outer(part, example.targets), example.marks)
            assert not example.reviewed


def test_a_long_message_is_not_taught_where_nobody_knows_which_window_violates() -> None:
    from feedback.training.examples import batch_of, make_examples

    vocabulary = Vocabulary(list("今天我们聊别的亏了补给你"))
    text = "今天我们聊别的" * 40 + "亏了我补给你"
    somewhere = LabelledTurn(turn(text), frozenset(LABELS[:1]), origin="case")
    assert [] == make_examples([somewhere], LABELS, vocabulary, InputLimits())
    there = replace(somewhere, evidence=((len(text) - 6, len(text)),))
    assert [1] == [
        int(each.targets.sum()) for each in make_examples([there], LABELS, vocabulary, InputLimits())
    ]
    quiet = replace(somewhere, labels=frozenset())
    assert 4 == len(make_examples([quiet], LABELS, vocabulary, InputLimits()))
    short = replace(somewhere, turn=turn("亏了我补给你"))
    (whole,) = make_examples([short], LABELS, vocabulary, InputLimits())
    assert 1 == whole.targets.sum()
    import random

    batch = batch_of(
        [whole], labels=len(LABELS), dice=random.Random(1), character_dropout=0, context_dropout=0
    )
    assert not batch.mark_mask.any()


def test_what_a_candidate_learnt_of_dismissed_cases_is_no_leave_to_flag_others() -> None:
    from types import SimpleNamespace

    from detectors.manifest import LabelThresholds, Threshold
    from feedback.training.examples import make_examples
    from feedback.training.finish import _points
    from feedback.training.settings import FinetuneSettings
    from feedback.training.thresholds import Points, flagged

    points = Points({"a": LabelThresholds(flag=0.6, doubt=0.3)}, Threshold(flag=0.9, doubt=0.5))
    dice = np.random.default_rng(0)
    ordinary = dice.normal(-4, 2.13, (2000, 1))
    dismissed = dice.normal(1.5, 0.5, (200, 1))
    row = LabelledTurn(turn("您好"), frozenset(), origin="seed")
    rows = [row] * len(ordinary) + [replace(row, origin="case")] * len(dismissed)
    dev = make_examples(rows, ["a"], Vocabulary(list("您好")), InputLimits())
    start: Any = SimpleNamespace(points=points, served=np.concatenate([ordinary, dismissed]))
    nothing: Any = None
    candidate = np.concatenate([ordinary + dice.normal(0, 0.2, ordinary.shape), dismissed - 3])
    found = _points(nothing, nothing, start, dev, candidate, [], ["a"], FinetuneSettings())
    before = flagged(ordinary, points).sum()
    assert 0 < flagged(candidate[: len(ordinary)], found).sum() <= before
    assert not flagged(candidate[len(ordinary) :], found).any()


def test_roles_and_recency_are_apart_in_the_input() -> None:
    vocabulary = Vocabulary(list("没问题能保证吗好的"))
    limits = InputLimits(message=8, overlap=2, context=4, turns=2)
    (item,) = windows(turn("没问题", ("customer", "能保证吗"), ("advisor", "好的")), vocabulary, limits)[1]
    assert [0] * 4 + [1] * 3 + [2] * 5 == item.ages
    assert [1] * 4 + [1] * 3 + [2] * 5 == item.roles
    assert [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4] == item.places


@pytest.mark.parametrize(
    ("limits", "ages"),
    [
        (InputLimits(message=8, overlap=2, context=4, turns=0), [0] * 4),
        (InputLimits(message=8, overlap=2, context=0, turns=2), [0] * 4 + [1, 2]),
    ],
)
def test_no_context_is_no_context(limits: InputLimits, ages: list[int]) -> None:
    vocabulary = Vocabulary(list("没问题能保证吗好的"))
    (item,) = windows(turn("没问题", ("customer", "能保证吗"), ("advisor", "好的")), vocabulary, limits)[1]
    assert ages == item.ages


def test_a_long_message_is_covered_by_windows() -> None:
    limits = InputLimits(message=8, overlap=2, context=4, turns=2)
    text = "保本" * 20
    items = windows(turn(text), Vocabulary(list("保本")), limits)[1]
    covered = {index for item in items for index in range(item.first, item.first + item.length)}
    assert set(range(len(text))) == covered
    assert max(len(item.ids) for item in items) <= limits.message + 1


def test_pretraining_goes_on_where_it_stopped(corpus: list[LabelledTurn], tmp_path: Path) -> None:
    import torch

    from feedback.training.encoder import EncoderShape
    from feedback.training.packed import pack
    from feedback.training.pretrain import PretrainSettings, build_vocabulary, pretrain

    dialogues = [[(row.turn.message.speaker, row.turn.message.text)] for row in corpus[:400]]
    vocabulary = build_vocabulary((row.turn.message.text for row in corpus[:400]), least_count=3)
    text = pack(dialogues, vocabulary)
    shape = EncoderShape(vocabulary=len(vocabulary), width=24, layers=1, heads=2, dropout=0.0)
    settings = replace(PretrainSettings(), tokens_per_batch=1024, warmup_steps=2)

    def run(checkpoint: Path, stop_at: int | None = None) -> list[float]:
        losses: list[float] = []

        def on_step(step: int, total: int, loss: float) -> None:
            losses.append(loss)
            if stop_at == step:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            pretrain(
                text, shape, InputLimits(), settings, checkpoint=checkpoint, on_step=on_step, save_every=3
            )
        return losses

    torch.manual_seed(0)
    whole = run(tmp_path / "whole.pt")
    first = run(tmp_path / "parts.pt", stop_at=4)
    second = run(tmp_path / "parts.pt")
    assert len(whole) == 3 + len(second)  # the fourth step was not saved
    assert whole[:4] == first
    assert whole[3:] == pytest.approx(second, rel=1e-3)


def _other_text(run: dict[str, Any]) -> dict[str, Any]:
    text = run["text"]
    return {"text": replace(text, ids=text.ids[::-1].copy())}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_other_text, "the text"),
        (lambda run: {"settings": replace(run["settings"], passes=2)}, r"settings passes \(1, now 2\)"),
        (lambda run: {"settings": replace(run["settings"], seed=8)}, r"settings seed \(7, now 8\)"),
        (lambda run: {"shape": replace(run["shape"], heads=4)}, r"shape heads \(2, now 4\)"),
        (lambda run: {"limits": InputLimits(turns=1)}, r"limits turns \(3, now 1\)"),
    ],
    ids=["text", "passes", "seed", "shape", "limits"],
)
def test_pretraining_does_not_go_on_from_another_run(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], named: str
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    run = tiny_pretraining()
    pretrain_tiny(run, checkpoint)
    with pytest.raises(TrainingError, match=f"is of another run: it differs in {named}; .*remove the file"):
        pretrain_tiny({**run, **change(run)}, checkpoint)
    assert not pretrain_tiny(run, checkpoint)  # the same is done already


def test_pretraining_does_not_go_on_from_a_checkpoint_that_does_not_say_its_run(tmp_path: Path) -> None:
    import torch

    checkpoint = tmp_path / "checkpoint.pt"
    pretrain_tiny(tiny_pretraining(), checkpoint)
    saved = torch.load(checkpoint, weights_only=True)
    del saved["run"]
    torch.save(saved, checkpoint)
    with pytest.raises(TrainingError, match="does not say with what it was made"):
        pretrain_tiny(tiny_pretraining(), checkpoint)


def tiny_pretraining() -> dict[str, Any]:
    """Text, shape, limits and settings of a run of a step or two."""
    from feedback.training.encoder import EncoderShape
    from feedback.training.packed import pack
    from feedback.training.pretrain import PretrainSettings

    vocabulary = Vocabulary(list("这款保本您放心"))
    said = [(Speaker.CUSTOMER, "保本吗"), (Speaker.ADVISOR, "这款保本您放心")]
    return {
        "text": pack([said] * 4, vocabulary),
        "shape": EncoderShape(vocabulary=len(vocabulary), width=16, layers=1, heads=2, dropout=0.0),
        "limits": InputLimits(),
        "settings": PretrainSettings(warmup_steps=1),
    }


def pretrain_tiny(run: dict[str, Any], checkpoint: Path) -> list[float]:
    """The losses of the steps that were made."""
    from feedback.training.pretrain import pretrain

    losses: list[float] = []
    pretrain(
        run["text"],
        run["shape"],
        run["limits"],
        run["settings"],
        checkpoint=checkpoint,
        on_step=lambda step, total, loss: losses.append(loss),
    )
    return losses


def small_base(folder: Path, *, layers: int = 1) -> Path:
    import torch

    from feedback.training.encoder import Encoder, EncoderShape
    from feedback.training.pretrain import build_vocabulary
    from feedback.training.weights import save_base

    torch.manual_seed(1)
    vocabulary = build_vocabulary((row.turn.message.text for row in read_corpus()), least_count=20)
    save_base(
        folder / "base",
        Encoder(EncoderShape(vocabulary=len(vocabulary), width=24, layers=layers, heads=2)),
        vocabulary,
    )
    return folder / "base"


def test_a_run_that_goes_on_rehearses_a_part_of_the_corpus_and_all_cases(corpus: list[LabelledTurn]) -> None:
    from feedback.training.settings import FinetuneSettings
    from feedback.training.train import _rehearsed

    cases = [replace(row, origin="case") for row in corpus[:40]]
    kept = _rehearsed([*corpus[40:1040], *cases], FinetuneSettings(rehearsal=0.2))
    assert cases == kept[-40:]
    assert 150 < len(kept) - 40 < 250
    assert kept == _rehearsed([*corpus[40:1040], *cases], FinetuneSettings(rehearsal=0.2))


def test_what_new_writers_wrote_is_learnt_whole(corpus: list[LabelledTurn]) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.settings import FinetuneSettings
    from feedback.training.train import _rehearsed

    settings = FinetuneSettings(rehearsal=0.2, new_writers=("w02",))
    new = [row for row in corpus if row.group == "w02"]
    kept = _rehearsed(corpus, settings)
    assert [row for row in kept if row.group == "w02"] == new
    assert 0.1 < (len(kept) - len(new)) / (len(corpus) - len(new)) < 0.3
    with pytest.raises(TrainingError, match="nothing by w00"):
        _rehearsed(corpus, settings.model_copy(update={"new_writers": ("w00",)}))


def test_another_innocent_set_moves_no_conversation_to_the_other_part() -> None:
    """What set the thresholds of one run is not learnt from in the next, which has more sets."""
    from feedback.corpus.dialogues import as_innocent
    from feedback.training.train import _split_innocent

    dialogue = [(Speaker.ADVISOR, "明天见"), (Speaker.CUSTOMER, "好的")]
    one, other = (list(as_innocent([dialogue] * 200, name)) for name in ("one", "other"))
    learnt, kept = _split_innocent(one)
    more_learnt, more_kept = _split_innocent([*other, *one])
    assert 100 < len(kept) < 140
    assert [row for row in more_learnt if row.group == "one"] == learnt
    assert [row for row in more_kept if row.group == "one"] == kept


def test_a_teacher_must_read_as_its_pupil(corpus: list[LabelledTurn], tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.start import load_teacher

    vocabulary = Vocabulary(list("保本收益"))
    with pytest.raises(TrainingError, match="another vocabulary"):
        load_teacher(builtin_model_path(), LABELS, vocabulary)
    with pytest.raises(TrainingError, match="other labels"):
        load_teacher(builtin_model_path(), LABELS[:3], vocabulary)


def test_a_pupil_moves_towards_its_teacher(corpus: list[LabelledTurn], tmp_path: Path) -> None:
    """With nothing but the teacher's word, what the teacher says becomes likely, whatever the labels say."""
    import torch

    from feedback.training.examples import judged, make_examples
    from feedback.training.finetune import finetune, logits_of
    from feedback.training.heads import TurnClassifier
    from feedback.training.settings import FinetuneSettings
    from feedback.training.weights import load_base

    encoder, vocabulary = load_base(small_base(tmp_path))
    rows = judged(corpus)[:300]
    examples = make_examples(rows, LABELS, vocabulary, InputLimits())
    teacher = TurnClassifier(load_base(small_base(tmp_path))[0], len(LABELS))
    with torch.no_grad():
        teacher.whole.bias.fill_(9.0)
    settings = FinetuneSettings(epochs=2, teacher_weight=1.0, innocent_share=0.0)

    def likely(teachers: list[TurnClassifier]) -> float:
        model = finetune(
            encoder, examples, [], len(LABELS), settings, on_step=lambda *_: None, teachers=teachers
        )
        return float(logits_of(model, [example.item for example in examples]).mean())

    assert likely([teacher]) > likely([]) + 1


def test_layers_that_stand_still_keep_their_weights_and_the_others_learn(
    corpus: list[LabelledTurn], tmp_path: Path
) -> None:
    from feedback.training.examples import judged, make_examples
    from feedback.training.finetune import finetune
    from feedback.training.settings import FinetuneSettings
    from feedback.training.weights import load_base

    encoder, vocabulary = load_base(small_base(tmp_path, layers=3))
    examples = make_examples(judged(corpus)[:60], LABELS, vocabulary, InputLimits())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.keep_still(2)
    model = finetune(encoder, examples, [], len(LABELS), FinetuneSettings(epochs=1), on_step=lambda *_: None)
    changed = {name for name, value in model.encoder.state_dict().items() if not value.equal(before[name])}
    assert {name for name in before if name.startswith("blocks.2.")} == changed
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_that_nothing_would_learn_is_told_before_anything_is_read(tmp_path: Path) -> None:
    from feedback.training.weights import load_base

    encoder, _ = load_base(small_base(tmp_path, layers=2))
    with pytest.raises(TrainingError, match="still_layers 2: the encoder has 2 layers"):
        encoder.keep_still(2)
