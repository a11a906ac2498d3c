"""`redline rules`: look at the rules, check them, see why one matched, and what a change would do."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.cli.console import EXIT_FAILED, EXIT_USAGE, complain, results, say
from deploy.cli.lazy import FullHelpGroup
from deploy.cli.rule_changes import backtest_cli, diff_cli, lock_cli
from deploy.settings import Settings, load_settings
from deploy.wiring import load_rules
from rules.catalogue import Catalogue
from rules.examples import check_examples
from rules.explain import Explanation, explain
from rules.lint import lint_pack
from rules.loader import load_pack
from rules.model import Line, Pack, Rule, Scene

rules_app = typer.Typer(
    cls=FullHelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help=(
        "List, check, explain and try out the rules of a pack.\n\n"
        "A pack is a folder: catalogue.yaml (the labels), legal.yaml (the law behind them), guards.yaml, "
        "lexicons/ and rules/ with one YAML file per rule, which carries its own examples. "
        "Packs that ship are named without a folder: cn, en."
    ),
)

PackOption = Annotated[
    Path | None,
    typer.Option("--pack", help="pack folder or name; REDLINE_PACK or the shipped Chinese pack without it"),
]


# What is odd about a stretch that was read as a word, in words.
ODDITIES = {
    "dead": "dead variant of a character",
    "doubled": "written more than once",
    "gap": "cut by blanks",
    "letters": "letters for characters",
    "look": "looks or sounds alike",
    "mixed": "several at once",
    "picture": "picture for a word",
    "radical": "character taken apart",
    "rare": "rare character",
    "repeat": "written more than once",
    "split": "character taken apart",
}


def _pack(path: Path | None) -> Pack:
    settings: Settings = load_settings()
    return load_pack(path) if path else load_rules(settings)


@rules_app.command("list")
def list_cli(
    pack: PackOption = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="ID", help="only the rules of this label")
    ] = None,
    area: Annotated[
        str | None, typer.Option("--area", metavar="ID", help="only the rules of this area of business")
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="list the labels instead of the rules")] = False,
    areas: Annotated[bool, typer.Option("--areas", help="list the areas instead of the rules")] = False,
) -> None:
    """
    Every rule with its label, status, areas and legal basis; with --labels, every label.

    Only rules with status live flag messages; what shadow rules find is recorded beside the verdict.
    A basis with ? was not read in the official text yet; one with ~ is practice of the industry, no law.

    Example: redline rules list --label guaranteed_return
    """
    loaded = _pack(pack)
    for noun, wanted, known in (
        ("label", label, loaded.catalogue.labels),
        ("area", area, loaded.catalogue.areas),
    ):
        if wanted is not None and wanted not in known:
            complain(f"no {noun} '{wanted}'; there are {', '.join(known)}")
            raise typer.Exit(EXIT_USAGE)
    if labels:
        _print_labels(loaded)
        return
    if areas:
        _print_areas(loaded)
        return
    table = Table(title=f"pack {loaded.hash}", title_justify="left", box=None, header_style="bold")
    for column in ("rule", "v", "status", "label", "areas", "since", "basis"):
        table.add_column(column)
    for rule in loaded.rules:
        if label in (None, rule.label) and (area is None or area in rule.areas):
            table.add_row(
                rule.id,
                str(rule.version),
                rule.status if rule.reading is None else f"{rule.status}, {rule.reading} only",
                loaded.catalogue.labels[rule.label].name,
                ", ".join(rule.areas),
                str(rule.since or ""),
                _basis(rule, loaded.catalogue),
            )
    results.print(table)


def _basis(rule: Rule, catalogue: Catalogue) -> str:
    marks = []
    for ref in rule.basis:
        law = catalogue.reference(ref)
        marks.append(f"{ref}{'' if law.verified else '?'}{'~' if law.kind == 'practice' else ''}")
    return ", ".join(marks)


def _print_labels(pack: Pack) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("label", "name", "severity", "rules"):
        table.add_column(column)
    for label in pack.catalogue.labels.values():
        rules = sum(rule.label == label.id for rule in pack.rules)
        table.add_row(label.id, label.name, label.severity, str(rules))
    results.print(table)


def _print_areas(pack: Pack) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("area", "name", "rules"):
        table.add_column(column)
    for area, name in pack.catalogue.areas.items():
        table.add_row(area, name, str(sum(area in rule.areas for rule in pack.rules)))
    results.print(table)


@rules_app.command("lint")
def lint_cli(pack: PackOption = None) -> None:
    """
    Check every file of the pack and tell all problems at once, with file, line and hint.

    Beyond what keeps a pack from loading: at least 3 flagged, 3 allowed and 2 evasive
    examples, an area and a legal basis for every rule, law that was in force when the rule
    begins, and versions that fit rules.lock ('redline rules lock' writes it).

    Exit code 2 when there are any. No command starts on a pack that does not load.
    """
    settings = load_settings()
    loaded = lint_pack(pack or settings.pack)
    say(f"pack {loaded.hash}: {len(loaded.rules)} rules, no problems")


@rules_app.command("test")
def test_cli(pack: PackOption = None) -> None:
    """
    Run the flagged, evasive and allowed examples of every rule.

    Exit code 1 when one does not come out as its rule says.
    """
    loaded = _pack(pack)
    failures = list(check_examples(loaded))
    for failure in failures:
        complain(str(failure))
    examples = sum(
        len(r.examples.flagged) + len(r.examples.allowed) + len(r.examples.evasive) for r in loaded.rules
    )
    say(f"{len(loaded.rules)} rules, {examples} examples, {len(failures)} failed")
    if failures:
        raise typer.Exit(EXIT_FAILED)


@rules_app.command("explain")
def explain_cli(
    text: Annotated[str, typer.Argument(help="a message, as an advisor might write it")],
    after: Annotated[
        list[str] | None,
        typer.Option("--after", help="what the customer said before; may be given several times"),
    ] = None,
    continuing: Annotated[
        list[str] | None,
        typer.Option(
            "--continuing",
            help="what the same speaker wrote just before, as a message of its own; may be given several times",
        ),
    ] = None,
    pack: PackOption = None,
    speaker: Annotated[str, typer.Option(help="advisor, bot, other or customer")] = "advisor",
    product_kind: Annotated[str | None, typer.Option(help="kind of the product that is spoken of")] = None,
    channel: Annotated[str | None, typer.Option(help="where it was said, e.g. wecom or group")] = None,
    jurisdiction: Annotated[
        str | None, typer.Option(help="the law that the message falls under, e.g. cn")
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option(
            "--on", formats=["%Y-%m-%d"], help="the day it was said; rules not in force that day rest"
        ),
    ] = None,
) -> None:
    """
    Show every step of what the rules make of a message.

    What normalisation rewrote, which words were read behind a disguise, what matched, what cancelled
    it and by which words, which rules would match but rest (draft, other product, channel, day,
    jurisdiction or reading), and the hits with their law.

    Example: redline rules explain "没问题" --after "能保证6%吗"
    """
    loaded = _pack(pack)
    before = (
        *(Line("customer", line) for line in after or []),
        *(Line(speaker, line) for line in continuing or []),
    )
    scene = Scene(
        Line(speaker, text),
        before,
        on=day.date() if day else None,
        product_kind=product_kind,
        channel=channel,
        jurisdiction=jurisdiction,
    )
    results.print(f"pack        {loaded.hash}, forecasts {loaded.catalogue.forecasts}", soft_wrap=True)
    _print_explanation(loaded, text, explain(loaded, scene))


def _print_explanation(pack: Pack, text: str, told: Explanation) -> None:
    seen = told.seen
    results.print(f"normalised  {seen.text.text}", soft_wrap=True)
    for piece in told.rewritings:
        start, end = piece.span
        results.print(
            f"  rewritten 「{piece.original}」[{start}:{end}] → 「{piece.normalised}」", soft_wrap=True
        )
    for odd in told.read_as:
        results.print(
            f"  read as   {_quoted(text, (odd.span,))} → 「{odd.word}」 ({ODDITIES.get(odd.how, odd.how)})",
            soft_wrap=True,
        )
    for item in seen.cancelled:
        results.print(
            f"cancelled   {item.rule.id} {_quoted(text, (item.span,))} by {item.by}: {item.because}",
            soft_wrap=True,
        )
    for unused in told.unused:
        results.print(
            f"not in use  {unused.rule.id} {_quoted(text, unused.spans)}: {unused.why}", soft_wrap=True
        )
    for hit in seen.hits:
        label = pack.catalogue.labels[hit.rule.label].name
        kind = "hit        " if hit.rule.status == "live" else "shadow hit "
        results.print(
            f"{kind} {hit.rule.id} v{hit.rule.version} ({label})  {_quoted(text, hit.spans)}", soft_wrap=True
        )
        results.print(f"            {hit.rule.reason}", soft_wrap=True)
        for ref in hit.rule.basis:
            law = pack.catalogue.reference(ref)
            results.print(
                f"            {law.citation} {law.says}{'' if law.verified else '（待核对原文）'}",
                soft_wrap=True,
            )
    if not seen.hits and not seen.cancelled and not told.unused:
        results.print("nothing matched", soft_wrap=True)


def _quoted(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    return " ".join(f"「{text[start:end]}」[{start}:{end}]" for start, end in spans)


rules_app.command("lock")(lock_cli)
rules_app.command("diff")(diff_cli)
rules_app.command("backtest")(backtest_cli)
