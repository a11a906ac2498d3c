"""The Jinja environment: everything is escaped, and codes become words through filters."""

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlencode

from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detectors.domain import Source
from feedback.catalogue_view import CatalogueView
from feedback.web import wording
from feedback.web.highlight import highlight, snippet

HERE = Path(__file__).parent
HUES = 10


def make_templates(
    catalogue: CatalogueView, clock: Callable[[], datetime], zone: timezone
) -> Jinja2Templates:
    """Templates that know the catalogue, the clock and the desk's time zone."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    hues = {label.id: index % HUES for index, label in enumerate(catalogue.labels)}
    environment.filters.update(
        status=_words(wording.STATUS),
        severity=_words(wording.SEVERITY),
        speaker=_words(wording.SPEAKER),
        outcome=_words(wording.OUTCOME),
        queue_reason=_words(wording.REASON),
        source_kind=_words(wording.SOURCE),
        channel=_words(wording.CHANNEL),
        action=_words(wording.ACTION),
        audit_action=_words(wording.AUDIT),
        version_name=_words(wording.VERSIONS),
        audit_problem=_words(wording.AUDIT_PROBLEM),
        hue=lambda label_id: hues.get(label_id, HUES - 1),
        label=catalogue.label,
        law=catalogue.law_title,
        trait=catalogue.trait_name,
        short_time=lambda moment: wording.short_time(moment, clock(), zone),
        hour=lambda moment: moment.astimezone(zone).strftime("%H:%M"),
        day=lambda moment: _day(moment.astimezone(zone)),
        full_time=lambda moment: moment.astimezone(zone).isoformat(sep=" ", timespec="seconds"),
        iso=lambda moment: moment.isoformat(),
        percent=lambda score: f"{score:.0%}",
        urgency=_urgency,
        source_text=_source_text,
    )
    environment.globals.update(
        catalogue=catalogue, highlight=highlight, snippet=snippet, query=_query, zone_name=str(zone)
    )
    return Jinja2Templates(env=environment)


def _words(table: dict[str, str]) -> Callable[[str], str]:
    return lambda code: table.get(str(code), str(code))


def _day(moment: datetime) -> str:
    return f"{moment.year}年{moment.month}月{moment.day}日 周{'一二三四五六日'[moment.weekday()]}"


def _urgency(priority: int) -> str:
    return "urgent" if priority >= 80 else "raised" if priority >= 50 else "calm"


def _source_text(source: Source) -> str:
    kind = wording.SOURCE.get(source.kind, source.kind)
    return f"{kind} {source.id}"


def _query(**parameters: object) -> str:
    """`?a=b` of those that are set; empty when none is."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""
