"""`redline ablate`: what new samples, or the messages before, bring to the training (needs the train extra)."""

from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from deploy.cli.console import progress_bar, results, say
from deploy.cli.train import ConfigOption, InnocentOption, asked_for, filled_settings, need_torch, on_step
from deploy.settings import load_settings
from deploy.wiring import code_version, load_rules, utc_now
from feedback.augment.paraphrase import NAME as PARAPHRASE
from feedback.corpus.dialogues import as_innocent, read_dialogues
from feedback.corpus.seed import read_corpus
from feedback.dataset import build_snapshot
from feedback.evaluation.curve import part_of
from feedback.evaluation.report import interval
from feedback.labelled import LabelledTurn

LEARNT_PERCENT = 70


class Part(StrEnum):
    """What is taken away and given back."""

    SOURCES = "sources"
    CONTEXT = "context"


TITLES = {Part.SOURCES: "new samples", Part.CONTEXT: "messages before"}


def ablate_cli(
    base: Annotated[Path, typer.Option("--base", help="folder of the encoder that every run starts from")],
    innocent: InnocentOption = None,
    of: Annotated[
        Part, typer.Option("--of", help="sources of new samples, or how the messages before are read")
    ] = Part.SOURCES,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="a source to try; repeatable; all of them without it, 'paraphrase' only where REDLINE_JUDGE_URL is set",
        ),
    ] = None,
    percent: Annotated[
        int,
        typer.Option(
            "--percent", min=1, max=100, help="of the training conversations to learn from; fewer are quicker"
        ),
    ] = 100,
    config: ConfigOption = None,
    json_output: Annotated[Path | None, typer.Option("--json", help="write all figures to this file")] = None,
) -> None:
    """
    Train without a part and with it, from the same encoder, and measure each on the test part.

    --of sources: without new samples, with each source alone, and with all.
    --of context: without the messages before, with them as the beginning of one text, and as models are
    trained, with speaker and age of each kept apart.

    The language model behind 'paraphrase' is asked anew for each training that learns from it.

    As many training runs as lines in the table: allow each the time of 'redline train', or less with --percent.
    The first 70 % of each innocent set is learnt from, the rest measured.

    Example: redline ablate --base feedback/training/base --percent 20 --innocent everyday.jsonl.gz
    """
    need_torch()
    from feedback.augment.expand import check_names
    from feedback.augment.sources import sources
    from feedback.training.ablation import ablate, context_variants, source_variants
    from feedback.training.curve import EncoderTrainer
    from feedback.training.start import default_settings, start_from_base

    settings = load_settings()
    if source and of is not Part.SOURCES:
        raise typer.BadParameter("goes with --of sources", param_hint="--source")
    wanted = source or [*sources(), *([PARAPHRASE] if settings.judge_url else [])]
    if of is not Part.SOURCES:
        wanted = []
    check_names(wanted)
    if PARAPHRASE in wanted and not settings.judge_url:
        raise typer.BadParameter(
            f"'{PARAPHRASE}' asks a language model: set REDLINE_JUDGE_URL and REDLINE_JUDGE_MODEL, "
            "or try slots and register, which make its samples where there is none",
            param_hint="--source",
        )
    labels = list(load_rules(settings).catalogue.labels)
    corpus = build_snapshot(read_corpus(), [], labels)
    learnt: list[LabelledTurn] = []
    measured: dict[str, list[LabelledTurn]] = {}
    for path in innocent or []:
        dialogues, name = list(read_dialogues([path])), path.name.split(".")[0]
        first = len(dialogues) * LEARNT_PERCENT // 100
        learnt += as_innocent(dialogues[:first], f"{name}-learnt")
        measured[name] = list(as_innocent(dialogues[first:], name))
    chosen = filled_settings(config, default_settings(base))
    variants = (
        source_variants(wanted)
        if of is Part.SOURCES
        else context_variants(chosen.limits, start_from_base(base).encoder.longest_message)
    )
    with (
        TemporaryDirectory() as work,
        asked_for(wanted) as rewriter,
        progress_bar("training", total=100) as update,
    ):
        trainer = EncoderTrainer(
            base,
            corpus.dev,
            learnt,
            labels,
            chosen,
            Path(work),
            utc_now(),
            code_version(),
            on_step(update),
            say,
            rewriter,
        )
        train = part_of(corpus.train, percent / 100)
        found = ablate(trainer, train, corpus.test, measured, variants, say=say)
    table = Table(box=None, header_style="bold")
    for column in (TITLES[of], "precision", "recall", "F1", "macro F1", "false flags / 1,000"):
        table.add_column(column, justify="right" if table.columns else "left")
    figures: list[dict[str, Any]] = []
    for item in found:
        score = item.report.evaluation.any_violation
        shown = (score.precision, score.recall, score.f1)
        flags = item.report.false_flags
        table.add_row(
            item.name,
            *(interval(value) for value in shown),
            f"{item.report.evaluation.macro_f1:.3f}",
            interval(flags, 1),
        )
        figures.append(
            {
                "name": item.name,
                "changes": item.changes,
                "precision": score.precision.value,
                "recall": score.recall.value,
                "f1": score.f1.value,
                "macro_f1": item.report.evaluation.macro_f1,
                "false_flags_per_1000": flags.value,
                "false_flags_on_own_text": item.report.on_own_text,
                "recall_by_tag": {
                    tag: value.value for tag, (value, _) in item.report.evaluation.by_tag.items()
                },
                "flagged_by_kind": {
                    kind: value.value for kind, (value, _) in item.report.evaluation.hard.items()
                },
            }
        )
    results.print(table)
    if json_output:
        json_output.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
