"""What `redline eval` prints."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from deploy.cli.console import results
from feedback.evaluation.attacked import Attacked
from feedback.evaluation.calibrated import ModelCheck
from feedback.evaluation.curve import CurvePoint
from feedback.evaluation.evidence_overlap import EvidenceOverlap
from feedback.evaluation.metrics import Estimate, Evaluation, Score
from feedback.evaluation.report import EvaluationReport, interval
from feedback.evaluation.suite import SystemReport


def print_report(report: EvaluationReport) -> None:
    """The main system in full, then the others beside it."""
    main = report.main
    _print_evaluation(main.evaluation, report.label_names)
    if main.evidence:
        _print_evidence(main.evidence)
    _print_innocent(main)
    _print_probes(main)
    _print_base_rates(main)
    if len(report.systems) > 1:
        _print_comparison(report.systems)
    if report.check:
        _print_check(report.check)
    if report.attacked:
        _print_attacked(report.attacked)
    if report.curve:
        _print_curve(report.curve)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if table.columns else "left")
    return table


def _print_evaluation(evaluation: Evaluation, names: Mapping[str, str]) -> None:
    table = _table("", "messages", "precision", "recall", "F1")
    table.add_row("any violation", *_score(evaluation.any_violation), style="bold")
    for label, score in evaluation.labels.items():
        table.add_row(f"{label} {names[label]}", *_score(score))
    results.print(f"{evaluation.messages} messages, {evaluation.violating} of them violating\n")
    results.print(table)
    results.print(
        f"\nmacro F1 {evaluation.macro_f1:.3f} · undecided {evaluation.undecided_per_1000:.1f} of 1,000"
    )
    results.print(
        f"flags on the {evaluation.messages - evaluation.violating} compliant messages of this file: "
        f"{interval(evaluation.false_flags_per_1000, 1)} of 1,000"
    )
    for title, tags in (
        ("recall by tag", evaluation.by_tag),
        ("flagged among compliant messages, by kind", evaluation.hard),
    ):
        if tags:
            results.print(f"\n{title}")
            for tag, (estimate, count) in tags.items():
                results.print(f"  {tag:<28}{interval(estimate):<22}{count:>6}")


def _print_evidence(found: EvidenceOverlap) -> None:
    results.print(
        f"\nevidence of {found.messages} found violations, by characters: precision {interval(found.precision)}, "
        f"recall {interval(found.recall)}, F1 {interval(found.f1)}; "
        f"marked is {found.marked_share:.0%} of the message in the median, gold {found.gold_share:.0%}"
    )


def _score(score: Score) -> tuple[str, str, str, str]:
    return str(score.support), interval(score.precision), interval(score.recall), interval(score.f1)


def _print_innocent(main: SystemReport) -> None:
    for item in main.innocent:
        results.print(
            f"\ninnocent {item.name}: {item.flagged} flagged of {item.messages} = {_per_1000(item.per_1000)} per 1,000; "
            f"undecided {item.undecided_per_1000:.2f} per 1,000"
        )
        for text, labels in item.examples:
            results.print(f"    {labels}: {text[:70]}", markup=False)


def _per_1000(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}–{estimate.high:.2f}]"


def _print_probes(main: SystemReport) -> None:
    for item in main.probes:
        results.print(
            f"\nprobe {item.name}: {item.flagged} of {item.calls} calls flagged at least once = {interval(item.share)}; "
            f"{item.flags} flags on {item.messages} messages"
        )


def _print_base_rates(main: SystemReport) -> None:
    source = "compliant messages of this file" if main.on_own_text else "the innocent sets"
    results.print(
        f"\nwhat a flag is worth (recall of this file, false flags on {source}: {interval(main.false_flags, 2)} per 1,000)"
    )
    for rate in main.base_rates:
        results.print(
            f"  {rate.base_rate:>6.1%} of messages violate: precision {interval(rate.precision)}, "
            f"{rate.alerts_per_case:.1f} alerts per true case"
        )


def _print_comparison(systems: Mapping[str, SystemReport]) -> None:
    table = _table("system", "precision", "recall", "F1", "macro F1", "false flags / 1,000")
    for name, item in systems.items():
        score = item.evaluation.any_violation
        table.add_row(
            name,
            interval(score.precision),
            interval(score.recall),
            interval(score.f1),
            f"{item.evaluation.macro_f1:.3f}",
            interval(item.false_flags, 1),
        )
    results.print("\nany violation, by system")
    results.print(table)
    _print_worth(systems)
    marking = {name: item.evidence for name, item in systems.items() if item.evidence}
    if marking:
        shares = ", ".join(
            f"{name} {found.precision.value:.2f} / {found.recall.value:.2f} / {found.f1.value:.2f}"
            for name, found in marking.items()
        )
        results.print(f"evidence, precision / recall / F1: {shares}")
    for index, probe in enumerate(next(iter(systems.values())).probes):
        shares = ", ".join(f"{name} {item.probes[index].share.value:.0%}" for name, item in systems.items())
        results.print(f"probe {probe.name}, calls flagged at least once: {shares}")


def _print_worth(systems: Mapping[str, SystemReport]) -> None:
    rates = [rate.base_rate for rate in next(iter(systems.values())).base_rates]
    table = _table(
        "system",
        *(title for rate in rates for title in (f"precision at {rate:.1%}", "alerts per true case")),
    )
    for name, item in systems.items():
        cells = [(interval(rate.precision), f"{rate.alerts_per_case:.1f}") for rate in item.base_rates]
        table.add_row(name, *(cell for pair in cells for cell in pair))
    results.print("\nwhat a flag is worth where so many messages violate, by system")
    results.print(table)


def _print_attacked(found: Attacked) -> None:
    results.print(
        f"\nin disguise: of {found.violations} violations {found.found} are flagged as they stand, "
        f"{found.found_disguised} with a part of their evidence disguised ({100 * found.lost:.1f} points of recall lost)"
    )
    table = _table("kind", "violations", "as they stand", "in disguise", "share in disguise")
    for item in found.kinds:
        counts = (item.violations, item.found, item.found_disguised)
        table.add_row(item.kind, *map(str, counts), interval(item.recall))
    results.print(table)


def _print_check(check: ModelCheck) -> None:
    results.print(
        f"\nmodel: expected calibration error of any violation {check.any_violation.ece:.3f}, "
        f"of labels {_mean([item.ece for item in check.labels.values()]):.3f} on average"
    )
    if check.evidence:
        results.print(
            f"without its evidence the score falls by {check.evidence.drop:.2f}, without as many other characters by "
            f"{check.evidence.random_drop:.2f} ({check.evidence.turns} violating messages)"
        )
    if check.first_stage:
        stage = check.first_stage
        results.print(
            f"first stage: settles {stage.settled} of {stage.messages} messages ({stage.settled / stage.messages:.0%}); "
            f"of {stage.reported} violations that would be reported it loses {stage.lost}"
        )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _print_curve(points: Sequence[CurvePoint]) -> None:
    table = _table("learning curve", "messages", "violating", "F1", "macro F1", "false flags / 1,000")
    for point in points:
        table.add_row(
            point.system,
            str(point.messages),
            str(point.violations),
            interval(point.report.evaluation.any_violation.f1),
            f"{point.report.evaluation.macro_f1:.3f}",
            interval(point.report.false_flags, 1),
        )
    results.print()
    results.print(table)
