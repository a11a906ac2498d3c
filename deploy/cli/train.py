"""`redline pretrain|train|retrain`: make models (needs the train extra)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from deploy.cli.console import complain, progress_bar, say
from deploy.settings import load_settings
from deploy.wiring import code_version, load_rules, model_store, utc_now
from detectors.manifest import MANIFEST_FILE, read_manifest
from detectors.tokeniser_file import VOCABULARY_FILE
from feedback.corpus.dialogues import as_innocent, read_dialogues
from feedback.corpus.seed import read_corpus
from feedback.labelled import LabelledTurn
from rules.errors import RedlineError

if TYPE_CHECKING:
    from feedback.corpus.dialogues import Dialogue
    from feedback.training.settings import FinetuneSettings

EXIT_REFUSED = 3
PACKED_FILE = "text.npz"
HEAD_WIDTH = 32

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="JSON with settings that differ from the defaults (feedback/training/settings.py)"
    ),
]
InnocentOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--innocent",
        help="dialogues without any violation, JSON lines with turns or text, may be gzipped; repeatable",
    ),
]


class TrainingExtraMissing(RedlineError):
    """The train extra is not installed."""


def need_torch() -> None:
    """Raise TrainingExtraMissing, which says what to install, where torch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainingExtraMissing(
            "training needs torch: run 'make train-env', or install redline-compliance[train]"
        ) from error


def filled_settings(path: Path | None, default: "FinetuneSettings") -> "FinetuneSettings":
    """The defaults with what the file changes."""
    from pydantic import ValidationError

    try:
        changes = orjson.loads(path.read_bytes()) if path else {}
        return type(default).model_validate({**default.model_dump(), **changes})
    except (ValidationError, orjson.JSONDecodeError, OSError) as error:
        raise RedlineError(f"{path}: {error}") from error


def _innocent(paths: Sequence[Path], *, first_percent: int) -> list[LabelledTurn]:
    """The first part of each set; the rest is left for measuring."""
    rows: list[LabelledTurn] = []
    for path in paths:
        dialogues = list(read_dialogues([path]))
        rows.extend(as_innocent(dialogues[: len(dialogues) * first_percent // 100], path.name.split(".")[0]))
    return rows


def on_step(update: Callable[[int, str], None]) -> Callable[[int, int, float], None]:
    """Tells a progress bar of 100 how far a training is."""

    def tell(step: int, total: int, loss: float) -> None:
        update(step * 100 // total, f"% loss {loss:.3f}")

    return tell


def pretrain_cli(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE[=TIMES]]...",
            help="dialogues, JSON lines with turns or text, may be gzipped; =0.2 reads a fifth of them, =2 all twice. "
            "Not needed when the folder already holds the packed text",
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for the encoder")],
    start: Annotated[
        Path | None,
        typer.Option(
            help="go on from this encoder instead of from nothing; characters that it lacks are added"
        ),
    ] = None,
    own: Annotated[
        float, typer.Option(min=0, help="times to read the training part of the seed corpus")
    ] = 3.0,
    share: Annotated[
        float,
        typer.Option(
            min=0.001, max=1.0, help="read only the first part of every file, leaving the rest to measure on"
        ),
    ] = 1.0,
    layers: Annotated[int, typer.Option(min=1, help="layers of a new encoder")] = 4,
    width: Annotated[int, typer.Option(min=32, help="width of a new encoder, a multiple of 32")] = 256,
    passes: Annotated[int, typer.Option(min=1, help="how often to read all text")] = 1,
    tokens_per_batch: Annotated[
        int, typer.Option(min=128, help="4,096 suits two CPU cores, 32,768 and more a GPU")
    ] = 4096,
    only_pack: Annotated[
        bool,
        typer.Option(
            "--only-pack",
            help="stop when the text is packed: carry the folder to a machine with an accelerator and go on there",
        ),
    ] = False,
) -> None:
    """
    Pre-train the encoder by guessing masked characters. Resumable: start the same command again.

    The text is first packed into the folder; from then on FILE is not read again.

    Example: redline pretrain dialogues.jsonl.gz laws.jsonl.gz=0.5 -o encoder/
    """
    need_torch()
    from detectors.tokens import InputLimits, Vocabulary
    from feedback.training.encoder import EncoderShape
    from feedback.training.packed import PackedText
    from feedback.training.pretrain import PretrainSettings, grown, pretrain
    from feedback.training.weights import load_base, save_base

    if width % HEAD_WIDTH:
        raise RedlineError(
            f"--width {width}: give a multiple of {HEAD_WIDTH}, the width of one attention head"
        )
    settings = PretrainSettings(passes=passes, tokens_per_batch=tokens_per_batch)
    if start is not None:
        # An encoder that already knows something forgets it at the rate of a fresh one.
        settings = replace(settings, peak_rate=6e-4, warmup_steps=100)
    packed = output / PACKED_FILE
    if packed.is_file():
        if data:
            say(f"{packed} is there: reading it instead of the files; remove it to pack them anew")
    else:
        _pack(data or [], output, start, own=own, share=share, seed=settings.seed)
    text, vocabulary = PackedText.load(packed), Vocabulary.load(output / VOCABULARY_FILE)
    say(
        f"{int((text.places == 0).sum())} dialogues, {len(vocabulary)} characters, {len(text.ids) / 1e6:.1f} M of text"
    )
    if only_pack:
        return
    encoder = None
    if start is not None:
        encoder = grown(*load_base(start), vocabulary)
    shape = (
        encoder.shape
        if encoder is not None
        else EncoderShape(len(vocabulary), width=width, layers=layers, heads=width // HEAD_WIDTH)
    )
    with progress_bar("pre-training", total=100) as update:
        encoder = pretrain(
            text,
            shape,
            InputLimits(),
            settings,
            checkpoint=output / "checkpoint.pt",
            on_step=on_step(update),
            start=encoder,
        )
    save_base(output, encoder, vocabulary)
    say(f"encoder written to {output}")


def _pack(
    data: Sequence[str], output: Path, start: Path | None, *, own: float, share: float, seed: int
) -> None:
    """Tokenise what is to be read into the folder; the packed text comes last and whole."""
    from feedback.corpus.dialogues import repeated
    from feedback.dataset import training_dialogues
    from feedback.training.packed import pack
    from feedback.training.pretrain import PretrainSettings, build_vocabulary, joined
    from feedback.training.weights import load_base
    from rules.text import normalise

    if not data:
        raise RedlineError(f"{output} holds no packed text yet: name the files to read")
    dialogues = []
    for entry in data:
        path, times = _file_and_times(entry)
        found = list(read_dialogues([path]))
        dialogues += repeated(found[: round(len(found) * share)], times, seed=seed)
    corpus = training_dialogues(read_corpus())
    dialogues += repeated(corpus, own, seed=seed)
    least_count = PretrainSettings().least_count
    # A character that the corpus has once may matter; one that a public set has once is noise.
    texts = [text for dialogue in dialogues for _, text in dialogue]
    texts += [text for dialogue in corpus for _, text in dialogue] * least_count
    vocabulary = build_vocabulary((normalise(text).text for text in texts), least_count=least_count)
    if start is not None:
        vocabulary = joined(load_base(start)[1], vocabulary)
    output.mkdir(parents=True, exist_ok=True)
    vocabulary.save(output / VOCABULARY_FILE)
    unfinished = output / f"{PACKED_FILE}.part"
    with progress_bar("packing", total=len(dialogues)) as update:
        pack(_counted(dialogues, update), vocabulary).save(unfinished)
    unfinished.replace(output / PACKED_FILE)


def _counted(dialogues: Sequence["Dialogue"], update: Callable[[int, str], None]) -> Iterator["Dialogue"]:
    for number, dialogue in enumerate(dialogues, start=1):
        yield dialogue
        if number % 500 == 0 or number == len(dialogues):
            update(number, "dialogues")


def _file_and_times(entry: str) -> tuple[Path, float]:
    name, mark, times = entry.rpartition("=")
    if not mark:
        return Path(entry), 1.0
    try:
        value = float(times)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise RedlineError(
            f"{entry}: what follows '=' is how often to read the file, a number above 0 such as 0.2 or 2"
        )
    return Path(name), value


def train_cli(
    base: Annotated[
        Path,
        typer.Option(
            "--base",
            help="where to start: an encoder made by 'redline pretrain', any Hugging Face encoder directory, "
            "or a model folder, to go on training it",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="new folder for the model")],
    innocent: InnocentOption = None,
    innocent_percent: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="how much of each innocent set to use, from its start; measure on the rest"
        ),
    ] = 70,
    lora: Annotated[
        int,
        typer.Option(
            "--lora",
            min=0,
            metavar="RANK",
            help="train small matrices of this rank instead of a whole Hugging Face encoder; 0: all of it",
        ),
    ] = 0,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            "--augment",
            help="add new samples from this source (slots, register, contrast, attacks); repeatable",
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            "--teacher",
            help="learn also from what this larger model folder with the same vocabulary says of each message; "
            "repeatable, their average counts",
        ),
    ] = None,
    keep_weights: Annotated[
        bool,
        typer.Option(
            "--keep-weights",
            help="with a model folder as --base: leave its weights, export them anew, "
            "and make only a first stage and thresholds",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """
    Fine-tune a classifier on the seed corpus and write a model folder with its card.

    The base may be a Hugging Face encoder directory (BERT, RoBERTa, MacBERT, DeBERTa,
    ModernBERT and their like); nothing is fetched. Serving such a model needs the
    encoders extra, not transformers. Put a model into service with 'redline models add'
    and 'redline models promote'.

    Example: redline train --base chinese-macbert-base --lora 8 -o new-model --innocent everyday.jsonl.gz
    """
    need_torch()
    from feedback.dataset import build_snapshot
    from feedback.training.start import default_settings, load_teacher, start_from_base, start_from_model
    from feedback.training.train import train_model

    labels = list(load_rules(load_settings()).catalogue.labels)
    snapshot = build_snapshot(read_corpus(), [], labels)
    rows = _innocent(innocent or [], first_percent=innocent_percent)
    settings = filled_settings(config, default_settings(base, lora_rank=lora))
    if augment:
        settings = settings.model_copy(update={"augment": tuple(augment)})
    start = (
        start_from_model(base, read_manifest(base), labels)
        if (base / MANIFEST_FILE).is_file()
        else start_from_base(base, lora_rank=lora)
    )
    teachers = [load_teacher(folder, labels, start.vocabulary) for folder in teacher or []]
    with progress_bar("training", total=100) as update:
        manifest = train_model(
            start,
            snapshot,
            rows,
            labels,
            settings,
            output,
            created_at=utc_now(),
            code_version=code_version(),
            on_step=on_step(update),
            say=say,
            teachers=teachers,
            keep_weights=keep_weights,
        )
    typer.echo(orjson.dumps(manifest.scores, option=orjson.OPT_INDENT_2).decode())
    say(f"model {manifest.version} written to {output}")


def retrain_cli(
    from_base: Annotated[
        Path | None,
        typer.Option("--from-base", help="start from a pre-trained encoder instead of the model in service"),
    ] = None,
    innocent: InnocentOption = None,
    config: ConfigOption = None,
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="train and compare, but leave the model in service")
    ] = False,
) -> None:
    """
    The weekly run: learn from reviewers' decisions, compare on the golden set, promote or refuse.

    Prints the decision as JSON. Exit code 0: promoted (or would be, with --no-promote);
    3: the gate refused, and the model in service stays.
    """
    need_torch()
    from feedback.dataset import from_case
    from feedback.decisions import decided_cases
    from feedback.gate import GatePolicy
    from feedback.retrain import RETRAIN_SETTINGS, retrain
    from feedback.store.desk_store import open_desk_store
    from feedback.training.scoring import summary

    settings = load_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    desk = open_desk_store(settings.desk_store_url)
    try:
        cases = [from_case(case) for case in decided_cases(desk)]
    finally:
        desk.close()
    finetune = filled_settings(config, RETRAIN_SETTINGS)
    with progress_bar("retraining", total=100) as update:
        report = retrain(
            model_store(settings),
            list(read_corpus()),
            cases,
            list(load_rules(settings).catalogue.labels),
            work=settings.data_dir / "training",
            settings=finetune,
            policy=GatePolicy(),
            now=utc_now(),
            code_version=code_version(),
            on_step=on_step(update),
            base=from_base,
            innocent=_innocent(innocent or [], first_percent=70),
            promote=not no_promote,
            say=say,
        )
    typer.echo(
        orjson.dumps(
            {
                "promoted": report.decision.promoted and not no_promote,
                "reasons": report.decision.reasons,
                "candidate": report.candidate.version,
                "serving_before": report.serving_version,
                "dataset": report.dataset.description.hash,
                "reviewed_cases": report.cases,
                "contradicting_cases": report.dataset.conflicts,
                "golden": {
                    "candidate": summary(report.candidate_scores),
                    "serving": summary(report.serving_scores),
                },
            },
            option=orjson.OPT_INDENT_2,
        ).decode()
    )
    if not report.decision.promoted:
        complain("the candidate was refused: " + "; ".join(report.decision.reasons))
        raise typer.Exit(EXIT_REFUSED)
