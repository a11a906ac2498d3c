"""An evaluation as JSON and as one HTML page with charts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from feedback.evaluation.attacked import Attacked
from feedback.evaluation.calibrated import ModelCheck
from feedback.evaluation.charts import Series, bar_chart, line_chart, reliability_chart
from feedback.evaluation.curve import CurvePoint
from feedback.evaluation.metrics import Estimate
from feedback.evaluation.suite import SystemReport

SHOWN_WRONG = 60
LEAST_SHOWN = 1


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """
    Everything that one run of `redline eval` found.

    `systems` in the order of measuring; the first is the one that the page is about.
    """

    source: str
    versions: Mapping[str, Any]
    label_names: Mapping[str, str]
    systems: Mapping[str, SystemReport]
    check: ModelCheck | None = None
    curve: Sequence[CurvePoint] = field(default=())
    attacked: Attacked | None = None

    @property
    def main(self) -> SystemReport:
        """The system that the page is about."""
        return next(iter(self.systems.values()))


def as_json(report: EvaluationReport) -> dict[str, Any]:
    """
    Plain values: every estimate as value, low, high. What has no value is null.

    `labelled`, `innocent` and `evidence_overlap` are the main system's; `systems` has all of them.
    """
    main = report.main
    return {
        "source": report.source,
        "versions": dict(report.versions),
        "labelled": _plain(main.evaluation),
        "innocent": [_plain(item) | {"per_1000": _plain(item.per_1000)} for item in main.innocent],
        "evidence_overlap": _plain(main.evidence),
        "systems": {
            name: {
                "labelled": _plain(item.evaluation),
                "false_flags_per_1000": _plain(item.false_flags),
                "false_flags_on_own_text": item.on_own_text,
                "innocent": [_plain(s) | {"per_1000": _plain(s.per_1000)} for s in item.innocent],
                "base_rates": [_plain(rate) for rate in item.base_rates],
                "probes": [_plain(p) | {"share": _plain(p.share)} for p in item.probes],
                "evidence_overlap": _plain(item.evidence),
                "wrong": [_plain(wrong) for wrong in item.wrong],
            }
            for name, item in report.systems.items()
        },
        "model": _plain(report.check) if report.check else None,
        "attacked": _attacked(report.attacked) if report.attacked else None,
        "learning_curve": [
            {
                "system": point.system,
                "messages": point.messages,
                "violations": point.violations,
                "any_violation": _plain(point.report.evaluation.any_violation),
                "macro_f1": _plain(point.report.evaluation.macro_f1),
                "false_flags_per_1000": _plain(point.report.false_flags),
            }
            for point in report.curve
        ],
    }


def _attacked(found: Attacked) -> dict[str, Any]:
    return {
        "violations": found.violations,
        "found": found.found,
        "found_disguised": found.found_disguised,
        "lost": found.lost,
        "kinds": [_plain(item) | {"recall": _plain(item.recall)} for item in found.kinds],
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_html(report: EvaluationReport) -> str:
    """One page that needs nothing from outside; every text of messages is escaped."""
    environment = Environment(
        loader=PackageLoader("feedback", "evaluation/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["interval"] = interval
    return environment.get_template("evaluation.html.j2").render(
        report=report,
        main=report.main,
        charts={name: Markup(svg) for name, svg in _charts(report).items()},  # noqa: S704 — made and escaped in charts.py
        shown_wrong=SHOWN_WRONG,
    )


def _charts(report: EvaluationReport) -> dict[str, str]:
    main = report.main.evaluation
    charts = {
        "systems": bar_chart(
            [(name, item.evaluation.any_violation.f1) for name, item in report.systems.items()],
            title="F1 of any violation by system",
        ),
        "labels": bar_chart(
            [
                (report.label_names.get(label, label), score.f1)
                for label, score in main.labels.items()
                if score.support >= LEAST_SHOWN
            ],
            title="F1 by label",
        ),
    }
    if main.by_tag:
        charts["tags"] = bar_chart(
            [(f"{tag} ({count})", estimate) for tag, (estimate, count) in main.by_tag.items()],
            title="recall by tag",
        )
    if report.check:
        charts["reliability"] = reliability_chart(report.check.any_violation)
    if report.curve:
        charts["curve"] = line_chart(
            [_series(report.curve, name) for name in dict.fromkeys(p.system for p in report.curve)],
            across="violating messages to learn from",
            up="F1 of any violation",
            title="Learning curve",
        )
    return charts


def _series(points: Sequence[CurvePoint], name: str) -> Series:
    found = []
    for point in points:
        if point.system == name:
            f1 = point.report.evaluation.any_violation.f1
            found.append((float(point.violations), f1.value, f1.low, f1.high))
    return Series(name, tuple(found))


def interval(estimate: Estimate, digits: int = 2) -> str:
    """A value with its interval, – where nothing was counted."""
    if math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}–{estimate.high:.{digits}f}]"
