"""`redline rules`: look at the rules, check them, see why one matched."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.cli.console import EXIT_FAILED, EXIT_USAGE, complain, results, say
from deploy.cli.lazy import FullHelpGroup
from deploy.settings import Settings, load_settings
from deploy.wiring import load_rules
from rules.engine import Engine, Examination
from rules.examples import check_examples
from rules.loader import load_pack
from rules.model import Line, Pack, Scene

rules_app = typer.Typer(
    cls=FullHelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help=(
        "List, check and explain the rules of a pack.\n\n"
        "A pack is a folder: catalogue.yaml (the labels), legal.yaml (the law behind them), guards.yaml, "
        "lexicons/ and rules/ with one YAML file per rule, which carries its own examples."
    ),
)

PackOption = Annotated[
    Path | None, typer.Option("--pack", help="pack folder; REDLINE_PACK or the shipped pack without it")
]


def _pack(path: Path | None) -> Pack:
    settings: Settings = load_settings()
    return load_pack(path) if path else load_rules(settings)


@rules_app.command("list")
def list_cli(
    pack: PackOption = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="ID", help="only the rules of this label")
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="list the labels instead of the rules")] = False,
) -> None:
    """
    Every rule with its label, status and legal basis; with --labels, every label.

    Only rules with status live flag messages; shadow rules are tried out beside them.

    Example: redline rules list --label guaranteed_return
    """
    loaded = _pack(pack)
    if label is not None and label not in loaded.catalogue.labels:
        complain(f"no label '{label}'; there are {', '.join(loaded.catalogue.labels)}")
        raise typer.Exit(EXIT_USAGE)
    if labels:
        _print_labels(loaded)
        return
    table = Table(title=f"pack {loaded.hash}", title_justify="left", box=None, header_style="bold")
    for column in ("rule", "v", "status", "label", "basis"):
        table.add_column(column)
    for rule in loaded.rules:
        if label in (None, rule.label):
            table.add_row(
                rule.id,
                str(rule.version),
                rule.status,
                loaded.catalogue.labels[rule.label].name,
                ", ".join(rule.basis),
            )
    results.print(table)


def _print_labels(pack: Pack) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("label", "name", "severity", "rules"):
        table.add_column(column)
    for label in pack.catalogue.labels.values():
        rules = sum(rule.label == label.id for rule in pack.rules)
        table.add_row(label.id, label.name, label.severity, str(rules))
    results.print(table)


@rules_app.command("lint")
def lint_cli(pack: PackOption = None) -> None:
    """
    Check every file of the pack and tell all problems at once, with file, line and hint.

    Exit code 2 when there are any. No command starts on such a pack.
    """
    loaded = _pack(pack)
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
    pack: PackOption = None,
) -> None:
    """
    Show what the rules make of a message: its normalised form, what matched, what cancelled it.

    Example: redline rules explain "没问题" --after "能保证6%吗"
    """
    loaded = _pack(pack)
    before = tuple(Line("customer", line) for line in after or [])
    _print_examination(loaded, text, Engine(loaded).examine(Scene(Line("advisor", text), before)))


def _print_examination(pack: Pack, text: str, seen: Examination) -> None:
    results.print(f"normalised  {seen.text.text}", soft_wrap=True)
    for hit in seen.hits:
        spans = " ".join(f"「{text[start:end]}」[{start}:{end}]" for start, end in hit.spans)
        label = pack.catalogue.labels[hit.rule.label].name
        results.print(f"hit         {hit.rule.id} v{hit.rule.version} ({label})  {spans}", soft_wrap=True)
        results.print(f"            {hit.rule.reason}", soft_wrap=True)
        for ref in hit.rule.basis:
            law = pack.catalogue.reference(ref)
            results.print(
                f"            {law.citation} {law.says}{'' if law.verified else '（待核对原文）'}",
                soft_wrap=True,
            )
    for item in seen.cancelled:
        start, end = item.span
        results.print(
            f"cancelled   {item.rule.id} 「{text[start:end]}」 by {item.by}: {item.because}", soft_wrap=True
        )
    if not seen.hits and not seen.cancelled:
        results.print("nothing matched", soft_wrap=True)
