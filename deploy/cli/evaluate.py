"""`redline eval`: how good the judge is on labelled messages, and how often it flags innocent ones."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from deploy.cli.console import EXIT_USAGE, UnwritableTarget, complain, progress_bar, results, say
from deploy.cli.scan import STDIN
from deploy.settings import load_settings
from deploy.wiring import build_cascade, build_pipeline
from detectors.domain import Message, Outcome, Speaker
from feedback.corpus.dialogues import as_innocent, read_dialogues
from feedback.corpus.errors import CorpusError
from feedback.evaluation.innocent import FalseFlags, count_false_flags
from feedback.evaluation.metrics import Estimate, Evaluation, Judgement, Score, evaluate
from streams.embedded import scan
from streams.errors import InvalidMessage
from streams.pipeline import Judged
from streams.readers.base import BadRecord
from streams.readers.errors import UnreadableSource
from streams.readers.labelled import Labelled, read_labelled


def eval_cli(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="labelled message JSONL: messages with labels, and optional evidence and tags; - reads standard input",
        ),
    ],
    innocent: Annotated[
        list[Path] | None,
        typer.Option(
            "--innocent",
            help="dialogues without any violation (JSON lines with turns or text, may be gzipped); repeatable",
        ),
    ] = None,
    innocent_from: Annotated[
        int,
        typer.Option(
            min=0, max=99, help="skip this per cent of each innocent set, e.g. what a model was trained on"
        ),
    ] = 0,
    rules_only: Annotated[bool, typer.Option("--rules-only", help="measure the rules alone")] = False,
    model_only: Annotated[bool, typer.Option("--model-only", help="measure the classifier alone")] = False,
    json_output: Annotated[Path | None, typer.Option("--json", help="write all figures to this file")] = None,
) -> None:
    """
    Measure the rules and the model in service on labelled messages.

    Prints precision, recall and F1 with 95 % intervals (resampling whole
    conversations): any violation, each label, macro, each tag, and flags per 1,000
    innocent messages. Customers' messages give context and are not counted. A message
    counts as found when it is flagged; what is
    undecided is shown apart.

    Each line is a message (see 'redline scan --help') with "labels": ids of
    'redline rules list --labels', [] for none; a customer's message may go without.
    Optional: "evidence" (quotes or [start, end]) and "tags" to group by. A line that
    cannot be used is told with its number and left out.

    Exit code 0: measured. 2: bad usage, or nothing to measure on.

    Example: redline eval labelled.jsonl --innocent everyday.jsonl.gz
    """
    if rules_only and model_only:
        complain("--rules-only and --model-only exclude each other")
        raise typer.Exit(EXIT_USAGE)
    for path in innocent or []:
        if not path.is_file():
            raise UnreadableSource(str(path), "no such file")
    if json_output and not json_output.parent.is_dir():
        raise UnwritableTarget(f"{json_output}: cannot be written: {json_output.parent} is no folder")
    settings = load_settings()
    if rules_only:
        settings = settings.model_copy(update={"use_model": False})
    cascade = build_cascade(settings, rules=not model_only)
    known = cascade.catalogue.labels
    bad = 0
    gold: list[Labelled] = []

    def messages() -> Iterator[Message | BadRecord]:
        nonlocal bad
        # One record per line, so that counting gives the line number.
        for line, record in enumerate(read_labelled("-" if file == STDIN else Path(file)), start=1):
            if isinstance(record, BadRecord):
                bad += 1
                complain(str(record))
                continue
            unknown = record.labels - set(known)
            if unknown:
                bad += 1
                complain(f"line {line}: {_unknown_labels(unknown, known)}")
                continue
            gold.append(record)
            yield record.message

    judgements: list[Judgement] = []
    with progress_bar("judging") as update:
        for number, result in enumerate(scan(messages(), build_pipeline(cascade))):
            update(number + 1, "")
            if isinstance(result, Judged) and result.turn.message.speaker is not Speaker.CUSTOMER:
                judgements.append(_judgement(gold[number], result))
    if not judgements:
        raise UnreadableSource(file, "has no labelled message to measure on")
    evaluation = evaluate(judgements, list(known))
    false_flags = [_innocent(cascade, path, innocent_from) for path in innocent or []]
    _print(evaluation, false_flags, {label: entry.name for label, entry in known.items()})
    if bad:
        say(f"{bad} {'line was' if bad == 1 else 'lines were'} left out")
    if json_output:
        json_output.write_bytes(
            orjson.dumps(
                _plain(evaluation, false_flags, asdict(cascade.versions)), option=orjson.OPT_INDENT_2
            )
        )


def _unknown_labels(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Names each with the nearest one that the catalogue has."""
    hints = [
        f"'{label}'" + "".join(f" (did you mean {name}?)" for name in get_close_matches(label, known, n=1))
        for label in sorted(unknown)
    ]
    detail = f"not in the catalogue: {', '.join(hints)}; 'redline rules list --labels' shows all"
    return str(InvalidMessage("unknown_label", detail, field="labels"))


def _judgement(record: Labelled, result: Judged) -> Judgement:
    verdict = result.verdict
    found = frozenset(finding.label for finding in verdict.findings) if verdict.flagged else frozenset()
    gold = record.labels
    return Judgement(
        record.message.conversation_id, gold, found, verdict.outcome is Outcome.UNDECIDED, record.tags
    )


def _innocent(judge: Any, path: Path, skip_percent: int) -> FalseFlags:
    dialogues = list(read_dialogues([path]))
    kept = dialogues[math.ceil(len(dialogues) * skip_percent / 100) :]
    name = path.name.split(".")[0]
    counted = count_false_flags(judge, as_innocent(kept, name), name)
    if not counted.messages:
        raise CorpusError(
            f"{path} has no message left after skipping {skip_percent} %: give a longer file or skip less"
        )
    return counted


def _print(evaluation: Evaluation, false_flags: list[FalseFlags], names: dict[str, str]) -> None:
    table = Table(box=None, header_style="bold", title_justify="left")
    for column in ("", "messages", "precision", "recall", "F1"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("any violation", *_score(evaluation.any_violation), style="bold")
    for label, score in evaluation.labels.items():
        table.add_row(f"{label} {names[label]}", *_score(score))
    results.print(f"{evaluation.messages} messages, {evaluation.violating} of them violating\n")
    results.print(table)
    results.print(
        f"\nmacro F1 {evaluation.macro_f1:.3f} · undecided {evaluation.undecided_per_1000:.1f} of 1,000"
    )
    results.print(
        f"flags on compliant messages of this file: {_interval(evaluation.false_flags_per_1000, 1)} of 1,000"
    )
    for title, tags in (
        ("recall by tag", evaluation.by_tag),
        ("flagged among compliant messages, by kind", evaluation.hard),
    ):
        if tags:
            results.print(f"\n{title}")
            for tag, (estimate, count) in tags.items():
                results.print(f"  {tag:<28}{_interval(estimate, 2):<22}{count:>6}")
    for item in false_flags:
        results.print(
            f"\ninnocent {item.name}: {item.flagged} flagged of {item.messages} = {item.per_1000:.2f} per 1,000; "
            f"undecided {item.undecided_per_1000:.2f} per 1,000"
        )
        for text, labels in item.examples:
            results.print(f"    {labels}: {text[:70]}", markup=False)


def _score(score: Score) -> tuple[str, str, str, str]:
    return str(score.support), _interval(score.precision), _interval(score.recall), _interval(score.f1)


def _interval(estimate: Estimate, digits: int = 2) -> str:
    if math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}–{estimate.high:.{digits}f}]"


def _plain(evaluation: Evaluation, false_flags: list[FalseFlags], versions: dict[str, Any]) -> dict[str, Any]:
    return {
        "versions": versions,
        "labelled": asdict(evaluation),
        "innocent": [asdict(item) | {"per_1000": item.per_1000} for item in false_flags],
    }
