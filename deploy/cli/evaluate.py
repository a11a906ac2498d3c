"""`redline eval`: how good the judge is on labelled messages, and how often it flags innocent ones."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import orjson
import typer

from deploy.cli.console import EXIT_USAGE, UnwritableTarget, complain, progress_bar, say
from deploy.cli.evaluate_curve import curve_settings, train_curve
from deploy.cli.evaluate_print import print_report
from deploy.cli.sources import STDIN
from deploy.missing import MissingDetector
from deploy.settings import load_settings
from deploy.wiring import build_cascade, utc_now
from detectors.cascade import Cascade
from detectors.classifier import OnnxClassifier
from detectors.errors import ModelError
from feedback.corpus.dialogues import as_innocent, read_dialogues
from feedback.corpus.errors import CorpusError
from feedback.corpus.seed import read_corpus
from feedback.dataset import Snapshot, build_snapshot
from feedback.evaluation.attacked import attacked
from feedback.evaluation.baselines import keyword_list, train_tfidf
from feedback.evaluation.calibrated import ModelCheck, check_model
from feedback.evaluation.curve import SHARES
from feedback.evaluation.report import EvaluationReport, as_html, as_json
from feedback.evaluation.suite import measure
from feedback.evaluation.systems import JudgeSystem, SharedDetector, System, asked
from feedback.labelled import LabelledTurn
from streams.context import MemoryContext
from streams.errors import InvalidMessage
from streams.identity import MessageKey, message_key
from streams.readers.base import BadRecord
from streams.readers.errors import UnreadableSource
from streams.readers.labelled import Labelled, read_labelled


@dataclass(frozen=True, slots=True)
class InnocentSet:
    """One innocent file: what may be learnt from, and what is measured."""

    name: str
    learnt: list[LabelledTurn]
    measured: list[LabelledTurn]


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
            min=0,
            max=99,
            help="skip this per cent of each innocent set, e.g. what a model was trained on; TF-IDF learns from it",
        ),
    ] = 0,
    probe: Annotated[
        list[Path] | None,
        typer.Option(
            "--probe",
            help="calls in which whoever opens them should be flagged at least once, same format; repeatable",
        ),
    ] = None,
    probe_where: Annotated[
        str | None,
        typer.Option("--probe-where", metavar="FIELD=VALUE", help="only the calls with this field"),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="measure beside it, in the same run: rules alone, model alone, a keyword list, TF-IDF (needs the train extra)",
        ),
    ] = False,
    keywords: Annotated[
        Path | None,
        typer.Option("--keywords", help="your own keyword list for --compare: YAML, label: [word, …]"),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            "--learning-curve",
            metavar="BASE",
            help="train this base encoder on growing parts of the seed corpus and measure each; needs the train extra, and hours",
        ),
    ] = None,
    curve_percent: Annotated[
        list[int] | None,
        typer.Option(
            "--curve-percent",
            min=1,
            max=100,
            help="a part of the corpus for --learning-curve; repeatable; 5, 10, 25, 50 and 100 without it",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="JSON with settings of --learning-curve that differ from the defaults (feedback/training/settings.py)",
        ),
    ] = None,
    attack: Annotated[
        bool,
        typer.Option(
            "--attack",
            help="measure also what is still found when a part of each violation is written in disguise, by kind of it",
        ),
    ] = False,
    rules_only: Annotated[bool, typer.Option("--rules-only", help="measure the rules alone")] = False,
    model_only: Annotated[bool, typer.Option("--model-only", help="measure the classifier alone")] = False,
    json_output: Annotated[Path | None, typer.Option("--json", help="write all figures to this file")] = None,
    html_output: Annotated[
        Path | None,
        typer.Option("--html", help="write a page with charts to this file; it shows messages of the data"),
    ] = None,
) -> None:
    """
    Measure the rules and the model in service on labelled messages.

    Prints precision, recall and F1 with 95 % intervals (resampling whole
    conversations): any violation, each label, macro, each tag; flags per 1,000
    innocent messages; precision where 1 % or 0.1 % of all messages violate, and how
    many alerts a reviewer then reads per true case; how well the marked evidence fits
    that of the file, and the model's probabilities fit the labels. Customers' messages
    give context and are not counted. A message counts as found when it is flagged; what
    is undecided is shown apart.

    Each line is a message (see 'redline scan --help') with "labels": ids of
    'redline rules list --labels', [] for none; a customer's message may go without.
    Optional: "evidence" (quotes or [start, end]) and "tags" to group by. A line that
    cannot be used, or repeats an earlier one, is told with its number and left out.

    Exit code 0: measured. 2: bad usage, nothing to measure on, or a model that does not load.

    Example: redline eval labelled.jsonl --innocent everyday.jsonl.gz --compare --html report.html
    """
    if curve_percent and not curve:
        raise typer.BadParameter("goes with --learning-curve", param_hint="--curve-percent")
    if config and not curve:
        raise typer.BadParameter("goes with --learning-curve", param_hint="--config")
    _check(rules_only, model_only, [*(innocent or []), *(probe or [])], [json_output, html_output])
    finetune = curve_settings(curve, config) if curve else None
    settings = load_settings()
    if rules_only:
        settings = settings.model_copy(update={"use_model": False})
    cascade = _whole(build_cascade(settings, rules=not model_only))
    labels = {label: entry.name for label, entry in cascade.catalogue.labels.items()}
    labelled, bad = _read(file, labels)
    if not asked(labelled):
        raise UnreadableSource(file, "has no labelled message to measure on")
    sets = [_innocent_set(path, name, innocent_from) for name, path in _named(innocent or [])]
    learnt = [row for item in sets for row in item.learnt]
    corpus = build_snapshot(read_corpus(), [], list(labels)) if compare or curve else None
    systems = _systems(cascade, list(labels), learnt, corpus if compare else None, keywords)
    with progress_bar("judging") as update:
        measured = measure(
            systems,
            labelled,
            {item.name: item.measured for item in sets},
            {
                name: list(read_dialogues([path], where=_where(probe_where)))
                for name, path in _named(probe or [])
            },
            list(labels),
            on_progress=update,
        )
    check = _check_of(cascade, labelled)
    shares = [percent / 100 for percent in sorted(curve_percent or [])] or SHARES
    points = (
        train_curve(
            curve,
            finetune,
            corpus,
            learnt,
            labelled,
            {item.name: item.measured for item in sets},
            list(labels),
            shares=shares,
        )
        if curve and finetune and corpus
        else []
    )
    hidden = attacked(systems[0], labelled) if attack else None
    report = EvaluationReport(file, asdict(cascade.versions), labels, measured, check, points, hidden)
    print_report(report)
    if bad:
        say(f"{bad} {'line was' if bad == 1 else 'lines were'} left out")
    if json_output:
        json_output.write_bytes(orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2))
    if html_output:
        html_output.write_text(as_html(report), "utf-8")


def _whole(cascade: Cascade) -> Cascade:
    """Figures of a judge that lacks a part would be taken for those of the whole."""
    for detector in cascade.detectors:
        if isinstance(detector, MissingDetector):
            raise ModelError(f"nothing was measured: {detector.why}; --rules-only measures the rules alone")
    return cascade


def _check(
    rules_only: bool, model_only: bool, inputs: Sequence[Path], outputs: Sequence[Path | None]
) -> None:
    if rules_only and model_only:
        complain("--rules-only and --model-only exclude each other")
        raise typer.Exit(EXIT_USAGE)
    for path in inputs:
        if not path.is_file():
            raise UnreadableSource(str(path), "no such file")
    for output in outputs:
        if output and not output.parent.is_dir():
            raise UnwritableTarget(f"{output}: cannot be written: {output.parent} is no folder")
        if output and output.is_dir():
            raise UnwritableTarget(f"{output}: cannot be written: it is a folder")


def _read(file: str, known: Mapping[str, str]) -> tuple[list[LabelledTurn], int]:
    """Turns with their labels, in the context of their conversation, and how many lines could not be used."""
    context = MemoryContext()
    rows: list[LabelledTurn] = []
    seen: dict[MessageKey, frozenset[str]] = {}
    bad = 0
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
        key = message_key(record.message)
        if key in seen:
            bad += 1
            complain(f"line {line}: {_repeated(record, same_labels=seen[key] == record.labels)}")
            continue
        seen[key] = record.labels
        turn = context.turn(record.message)
        rows.append(LabelledTurn(turn, record.labels, record.evidence or (), record.tags))
    return rows, bad


def _unknown_labels(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Names each with the nearest one that the catalogue has."""
    hints = [
        f"'{label}'" + "".join(f" (did you mean {name}?)" for name in get_close_matches(label, known, n=1))
        for label in sorted(unknown)
    ]
    detail = f"not in the catalogue: {', '.join(hints)}; 'redline rules list --labels' shows all"
    return str(InvalidMessage("unknown_label", detail, field="labels"))


def _repeated(record: Labelled, *, same_labels: bool) -> str:
    """Counted twice, a message would weigh twice."""
    message_id = record.message.message_id
    labels = "the same labels" if same_labels else "other labels"
    detail = f"'{message_id}' came before in this conversation with the same text and {labels}: the first one counts"
    return str(InvalidMessage("repeated_message", detail, field="message_id"))


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each file with the first part of its name; a name that comes again gets a number."""
    seen: Counter[str] = Counter()
    named = []
    for path in paths:
        name = path.name.split(".")[0]
        seen[name] += 1
        named.append((name if seen[name] == 1 else f"{name}-{seen[name]}", path))
    return named


def _where(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    field, mark, value = text.partition("=")
    if not mark or not field:
        complain(f"--probe-where {text}: expected FIELD=VALUE, as in type=投资诈骗")
        raise typer.Exit(EXIT_USAGE)
    return field, value


def _innocent_set(path: Path, name: str, skip_percent: int) -> InnocentSet:
    dialogues = list(read_dialogues([path]))
    first = math.ceil(len(dialogues) * skip_percent / 100)
    measured = list(as_innocent(dialogues[first:], name))
    if not measured:
        raise CorpusError(
            f"{path} has no message left after skipping {skip_percent} %: give a longer file or skip less"
        )
    return InnocentSet(name, list(as_innocent(dialogues[:first], f"{name}-learnt")), measured)


def _systems(
    cascade: Cascade,
    labels: Sequence[str],
    learnt: Sequence[LabelledTurn],
    corpus: Snapshot | None,
    keywords: Path | None,
) -> list[System]:
    """The judge; with a corpus also its parts and the baselines, which learn from the same rows as a model."""
    detectors = [SharedDetector(detector) for detector in cascade.detectors]

    def part(name: str, chosen: Sequence[SharedDetector]) -> JudgeSystem:
        return JudgeSystem(name, Cascade(chosen, cascade.catalogue, cascade.versions, utc_now))

    whole = part("cascade" if len(detectors) > 1 else detectors[0].name, detectors)
    if corpus is None:
        return [whole]
    alone = [part(detector.name, [detector]) for detector in detectors if len(detectors) > 1]
    others: list[System] = [*alone, keyword_list(keywords, labels=labels)]
    return [whole, *others, *train_tfidf(corpus.train, corpus.dev, learnt, labels)]


def _check_of(cascade: Cascade, labelled: Sequence[LabelledTurn]) -> ModelCheck | None:
    for detector in cascade.detectors:
        classifier = getattr(detector, "classifier", None)
        if isinstance(classifier, OnnxClassifier):
            return check_model(classifier, labelled)
    return None
