"""`redline attack`: how much the rules lose when advisors disguise their words."""

from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from deploy.cli.console import EXIT_USAGE, UnwritableTarget, complain, results, say
from deploy.cli.sources import STDIN
from deploy.settings import load_settings
from deploy.wiring import load_rules
from detectors.domain import Speaker
from detectors.rule_detector import scene_of
from rules.attacks.disguising import ATTACK_NAMES, SPLIT
from rules.attacks.kinds import KINDS
from rules.attacks.report import Loss, losses
from rules.attacks.text import Marked
from rules.engine import Engine
from rules.model import Scene
from streams.context import MemoryContext
from streams.readers.base import BadRecord
from streams.readers.errors import UnreadableSource
from streams.readers.labelled import Labelled, read_labelled


def attack_cli(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="labelled message JSONL, as for 'redline eval'; - reads standard input"
        ),
    ],
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="only this kind of disguise; may be given several times"),
    ] = None,
    seed: Annotated[
        str, typer.Option(help="another seed disguises otherwise; the same one always the same way")
    ] = "1",
    anywhere: Annotated[
        bool,
        typer.Option(
            "--anywhere", help="disguise any characters of the evidence where it has no word of often_hidden"
        ),
    ] = False,
    misses: Annotated[
        int, typer.Option(min=0, max=20, help="print so many missed messages of each kind")
    ] = 0,
    json_output: Annotated[Path | None, typer.Option("--json", help="write all figures to this file")] = None,
) -> None:
    """
    Disguise the violations that the rules find, one kind after another, and count what is lost.

    Takes the messages of FILE that carry a label and are hit by a rule of it, writes a
    watched word of the evidence in disguise (the pack's lexicon often_hidden lists
    them), and judges again. A kind that does not apply to a message is not counted.

    Exit code 0: measured. 2: bad usage, or nothing to measure on.

    Example: redline attack deploy/demo/labelled.jsonl --misses 3
    """
    kinds = kind or list(ATTACK_NAMES)
    for name in kinds:
        if name not in ATTACK_NAMES:
            near = "".join(f"; did you mean {one}?" for one in get_close_matches(name, ATTACK_NAMES, n=1))
            complain(f"no kind '{name}'{near} There are {', '.join(ATTACK_NAMES)}")
            raise typer.Exit(EXIT_USAGE)
    if json_output and not json_output.parent.is_dir():
        raise UnwritableTarget(f"{json_output}: cannot be written: {json_output.parent} is no folder")
    engine = Engine(load_rules(load_settings()))
    found = list(_found(engine, file))
    if not found:
        raise UnreadableSource(file, "has no violation that a rule finds: nothing to disguise")
    measured = list(
        losses(
            engine,
            found,
            kinds=kinds,
            words=frozenset(engine.pack.hidden_words),
            seed=seed,
            anywhere=anywhere,
        )
    )
    _print(measured, len(found), misses)
    if json_output:
        json_output.write_bytes(
            orjson.dumps(
                {
                    "pack": engine.pack.hash,
                    "found": len(found),
                    "seed": seed,
                    "kinds": [asdict(loss) | {"recall_lost": loss.recall_lost} for loss in measured],
                },
                option=orjson.OPT_INDENT_2,
            )
        )


def _found(engine: Engine, file: str) -> Iterator[tuple[Scene, Marked]]:
    """Labelled messages that a rule of the right label hits, with the hit as evidence."""
    context = MemoryContext()
    for record in read_labelled("-" if file == STDIN else Path(file)):
        if isinstance(record, BadRecord):
            complain(str(record))
            continue
        turn = context.turn(record.message)
        if record.labels and record.message.speaker is not Speaker.CUSTOMER:
            scene = scene_of(turn)
            spans = _spans(engine, scene, record)
            if spans:
                yield scene, Marked(scene.line.text, spans)


def _spans(engine: Engine, scene: Scene, record: Labelled) -> tuple[tuple[int, int], ...]:
    return tuple(span for hit in engine.hits(scene) if hit.rule.label in record.labels for span in hit.spans)


def _print(measured: list[Loss], found: int, misses: int) -> None:
    say(f"{found} labelled violations are found as they stand")
    table = Table(box=None, header_style="bold")
    for column in ("disguise", "tried", "missed", "recall lost", ""):
        table.add_column(column, justify="left" if column in ("disguise", "") else "right")
    for loss in measured:
        means = KINDS[loss.kind].means if loss.kind != SPLIT else "a phrase split over two messages"
        table.add_row(loss.kind, str(loss.tried), str(loss.missed), f"{100 * loss.recall_lost:.1f} %", means)
        for text in loss.misses[:misses]:
            table.add_row("", "", "", "", f"  {text[:80]}")
    results.print(table)
