"""`redline train|retrain`: make models (needs the train extra)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from deploy.cli.console import complain, progress_bar, say
from deploy.cli.extras import how_to_install
from deploy.rewriting import llm_rewriter
from deploy.settings import load_settings
from deploy.wiring import code_version, load_rules, model_store, utc_now
from detectors.manifest import MANIFEST_FILE, read_manifest
from feedback.augment.paraphrase import NAME as PARAPHRASE
from feedback.augment.rewriter import LlmRewriter
from feedback.corpus.dialogues import as_innocent, read_dialogues
from feedback.corpus.seed import read_corpus
from feedback.labelled import LabelledTurn
from rules.errors import RedlineError

if TYPE_CHECKING:
    from feedback.training.settings import FinetuneSettings

EXIT_REFUSED = 3

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
            f"training needs torch: run 'make train-env', or {how_to_install('train')}"
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


def asked_for(sources: Sequence[str]) -> AbstractContextManager[LlmRewriter | None]:
    """The language model, where one of the sources of samples asks it."""
    return llm_rewriter(load_settings()) if PARAPHRASE in sources else nullcontext()


def on_step(update: Callable[[int, str], None]) -> Callable[[int, int, float], None]:
    """Tells a progress bar of 100 how far a training is."""

    def tell(step: int, total: int, loss: float) -> None:
        update(step * 100 // total, f"% loss {loss:.3f}")

    return tell


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
            help="add new samples made of the seed corpus, repeatable: 'slots' exchanges product, time and figures; "
            "'register' puts another voice around a message; 'contrast' makes compliant twins (quoted, denied, "
            "another topic); 'attacks' disguises words; 'paraphrase' has the language model of REDLINE_JUDGE_URL "
            "say messages anew and refuses what does not hold (without one, or where it fails: slots and "
            "register). The model folder lists all of them with their parents in samples.jsonl",
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
    second: Annotated[
        Path | None,
        typer.Option(
            "--second",
            help="model folder, usually of a larger encoder with the same vocabulary, that is asked "
            "where the new model is not sure that a message is innocent",
        ),
    ] = None,
    asked_by: Annotated[
        Path | None,
        typer.Option(
            "--asked-by",
            help="the model folder that shall ask the new model as its second reader: "
            "learn most from the messages that it is not sure of, and from few of the others",
        ),
    ] = None,
    weights_of: Annotated[
        Path | None,
        typer.Option(
            "--weights-of",
            help="go on from the weights of this exported graph, such as second.onnx of a model folder; "
            "--base is then the encoder that it was trained from",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """
    Fine-tune a classifier on the seed corpus and write a model folder with its card.

    The base may be a Hugging Face encoder directory (BERT, RoBERTa, MacBERT, DeBERTa,
    ModernBERT and their like); nothing is fetched. Serving such a model needs the
    encoders extra, not transformers. Put a model into service with 'redline models add'
    and 'redline models promote'.

    Example: redline train --base chinese-macbert-base --lora 8 -o new-model --innocent everyday.jsonl.gz

    Example: redline train --base feedback/training/base -o new-model --augment contrast --augment paraphrase
    """
    need_torch()
    from feedback.dataset import build_snapshot
    from feedback.training.dequantised import dequantised
    from feedback.training.second_reader import load_candidate
    from feedback.training.start import default_settings, load_teacher, start_from_base, start_from_model
    from feedback.training.train import train_model

    if weights_of and ((base / MANIFEST_FILE).is_file() or lora):
        raise typer.BadParameter(
            "goes with a Hugging Face encoder as --base, without --lora", param_hint="--weights-of"
        )
    unused = {"--asked-by": asked_by, "--teacher": teacher, "--augment": augment}
    if keep_weights and (idle := [name for name, value in unused.items() if value]):
        raise typer.BadParameter(
            f"nothing is learnt, so {' and '.join(idle)} would do nothing", param_hint="--keep-weights"
        )
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
    if weights_of:
        start = dequantised(start, weights_of, len(labels))
    teachers = [load_teacher(folder, labels, start.vocabulary) for folder in teacher or []]
    limits = start.limits or settings.limits
    candidate, asking = (
        load_candidate(folder, labels, start.vocabulary, limits) if folder else None
        for folder in (second, asked_by)
    )
    with asked_for(settings.augment) as rewriter, progress_bar("training", total=100) as update:
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
            second=candidate,
            asked_by=asking,
            rewriter=rewriter,
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
    with asked_for(finetune.augment) as rewriter, progress_bar("retraining", total=100) as update:
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
            rewriter=rewriter,
            say=say,
        )
    typer.echo(
        orjson.dumps(
            {
                "promoted": report.decision.promoted and not no_promote,
                "reasons": report.decision.reasons,
                "candidate": report.candidate.version,
                "serving_before": report.serving_version,
                "reference": report.reference_version,
                "dataset": report.dataset.description.hash,
                "reviewed_cases": report.cases,
                "held_out_cases": len(report.dataset.held_out_cases),
                "contradicting_cases": report.dataset.conflicts,
                "cases_like_golden": report.dataset.golden_copies,
                "golden": {
                    "candidate": summary(report.candidate_scores),
                    "serving": summary(report.serving_scores),
                    "reference": summary(report.reference_scores) if report.reference_scores else None,
                },
            },
            option=orjson.OPT_INDENT_2,
        ).decode()
    )
    if not report.decision.promoted:
        complain("the candidate was refused: " + "; ".join(report.decision.reasons))
        raise typer.Exit(EXIT_REFUSED)
