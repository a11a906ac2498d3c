"""`redline models`: which models there are, which one serves, and how to change it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.cli.console import complain, results, say
from deploy.cli.lazy import FullHelpGroup
from deploy.settings import load_settings
from deploy.wiring import load_rules, model_store, utc_now
from detectors.classifier import ModelDetector, OnnxClassifier, unread_labels
from detectors.model_store import DamagedModel, StoredModel

models_app = typer.Typer(
    cls=FullHelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help=(
        "List, show, add, promote and roll back models.\n\n"
        "Models live in REDLINE_MODELS (DATA_DIR/models without it); the shipped one serves until another "
        "is promoted. Running workers follow within seconds. Every change is kept in the ledger."
    ),
)

ActorOption = Annotated[str, typer.Option("--actor", metavar="NAME", help="who does it, for the ledger")]


@models_app.command("list")
def list_cli() -> None:
    """
    Every model in the store with its scores; ▶ marks the one in service, told on standard error when it cannot serve.

    Scores are those of its training, on the test part of its dataset.
    """
    table = Table(box=None, header_style="bold")
    for column in ("", "version", "created", "from", "test F1", "recall", "false flags / 1000"):
        table.add_column(column)
    models = model_store(load_settings()).models()
    for model in models:
        if isinstance(model, DamagedModel):
            complain(model.reason)
            continue
        test = model.manifest.scores.get("test", {})
        table.add_row(
            "▶" if model.in_service else "",
            model.manifest.version + (" (shipped)" if model.builtin else ""),
            model.manifest.created_at[:16],
            model.manifest.base,
            str(test.get("f1", "")),
            str(test.get("recall", "")),
            str(test.get("false_flags_per_1000", "")),
        )
    results.print(table)
    if not any(isinstance(model, StoredModel) and model.in_service for model in models):
        complain(
            "the model in service is missing or damaged: verdicts are degraded, what the rules do not flag is "
            "undecided; copy it back, promote another, or run 'redline models rollback'"
        )


@models_app.command("show")
def show_cli(
    version: Annotated[
        str | None, typer.Argument(help="a version of 'redline models list'; the one in service without it")
    ] = None,
) -> None:
    """
    Print a model's manifest as JSON; its history, and labels that it does not know, on standard error.

    The manifest has labels, thresholds, dataset hash, training settings and scores.
    """
    settings = load_settings()
    store = model_store(settings)
    wanted = store.current_version() if version is None else version
    chosen = store.find(wanted)
    typer.echo(chosen.manifest.model_dump_json(indent=2))
    for entry in store.ledger():
        if entry.version == wanted:
            say(f"{entry.at:%Y-%m-%d %H:%M} {entry.action} by {entry.actor}: {'; '.join(entry.reasons)}")
    if unread := unread_labels(chosen.manifest, load_rules(settings).catalogue):
        say(
            f"labels of the catalogue that it does not know, found by rules and decided cases only: {', '.join(unread)}"
        )


@models_app.command("add")
def add_cli(
    folder: Annotated[Path, typer.Argument(help="model folder made by 'redline train'")],
    actor: ActorOption = "operator",
) -> None:
    """
    Copy a model folder into the store. It does not serve before it is promoted.

    Example: redline models add new-model/
    """
    manifest = model_store(load_settings()).add(folder, at=utc_now(), actor=actor)
    say(f"{manifest.version} is in the store; serve it with: redline models promote {manifest.version}")


@models_app.command("promote")
def promote_cli(
    version: Annotated[str, typer.Argument(help="a version of 'redline models list'")],
    reason: Annotated[str, typer.Option("--reason", help="why, for the ledger")],
    actor: ActorOption = "operator",
) -> None:
    """
    Put a model into service, past the gate: by a person's word, which the ledger keeps.

    Refused when the model does not load or knows labels that the catalogue does not.

    Example: redline models promote 20260301T020000 --reason "gate was too strict" --actor li.na
    """
    if not reason.strip():
        raise typer.BadParameter("say why: it is kept in the ledger", param_hint="--reason")
    settings = load_settings()
    store = model_store(settings)
    chosen = store.find(version)
    if chosen.in_service:
        say(f"{version} is in service already")
        return
    ModelDetector(OnnxClassifier(chosen.folder), load_rules(settings).catalogue)
    store.promote(version, at=utc_now(), actor=actor, reasons=(reason,))
    say(f"{version} is in service; running workers swap within seconds")


@models_app.command("rollback")
def rollback_cli(actor: ActorOption = "operator") -> None:
    """
    Go back to the model that served before the last promotion.

    Run again, it goes one promotion further back.
    """
    version = model_store(load_settings()).rollback(at=utc_now(), actor=actor)
    say(f"{version} is in service again")
