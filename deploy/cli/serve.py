"""`redline up` and `redline desk`: the review desk, with everything embedded or over the real stores."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI
from rich.table import Table

from deploy.cli.console import complain, people, progress_bar, results, say
from deploy.desk import FollowingDesk
from deploy.ledger import model_ledger
from deploy.pack_watch import PackWatch
from deploy.repeating import repeating
from deploy.settings import Settings, load_settings
from deploy.wiring import (
    build_cascade,
    build_pipeline,
    desk_secret,
    load_rules,
    model_store,
    open_event_store,
    utc_now,
)
from detectors.domain import Verdict
from feedback.case_memory import CaseMemoryWriter
from feedback.catalogue_view import CatalogueView
from feedback.intake import note_dead_letters, pull_cases
from feedback.outbox import publish_ledger, publish_reviews
from feedback.store.desk_store import DeskStore, open_desk_store
from feedback.store.users import add_user
from feedback.web.app import create_desk
from rules.catalogue import Catalogue
from streams.embedded import scan
from streams.identity import verdict_key
from streams.pipeline import Judged
from streams.readers.base import BadRecord
from streams.readers.records import read_records
from streams.store.base import EventStore, StoredMessage, StoredVerdict
from streams.store.queries import open_dead_letters

DEMO_REVIEWER = "demo"
DEMO_REVIEWER_NAME = "演示复核员"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
WRITE_BATCH = 256
# Where decisions go directly; `redline publish` sends them to Kafka.
EVENT_STORE = "events"
REMEMBER_EVERY_S = 2.0


def sample_file() -> Path:
    """The conversations that ship for a first look."""
    return Path(str(resources.files("deploy"))) / "demo" / "conversations.jsonl"


HostOption = Annotated[
    str | None, typer.Option("--host", help="address to serve on; REDLINE_HOST or 127.0.0.1 without it")
]
PortOption = Annotated[
    int | None, typer.Option("--port", help="port to serve on; REDLINE_PORT or 8000 without it")
]


def up_cli(
    file: Annotated[
        Path | None, typer.Argument(help="messages to judge first; the bundled sample without it")
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="serve the desk afterwards")] = True,
) -> None:
    """
    Everything in one process: judge a file into an embedded store and serve the review desk.

    No Kafka, no ClickHouse, no internet. The desk signs everybody in as a demo
    reviewer, so it serves on this machine only. Cases and decisions stay in
    REDLINE_DATA_DIR; starting again judges only what would be judged differently.
    """
    settings = load_settings()
    host = host or settings.host
    if serve and host not in LOOPBACK:
        complain(
            f"'up' signs everybody in as {DEMO_REVIEWER_NAME} and therefore serves on 127.0.0.1 only; for others run 'redline desk'"
        )
        raise typer.Exit(2)
    events = open_event_store(settings)
    desk_store = open_desk_store(settings.desk_store_url)
    try:
        _load(settings, events, file or sample_file())
        pull_cases(events, desk_store, clock=utc_now)
        if serve:
            _serve(settings, desk_store, events, host=host, port=port or settings.port, demo=True)
    finally:
        desk_store.close()
        events.close()


def desk_cli(
    host: HostOption = None,
    port: PortOption = None,
    add_reviewer: Annotated[
        str | None,
        typer.Option(
            "--add-reviewer", metavar="NAME", help="create an account (asks for the password), then end"
        ),
    ] = None,
    secure_cookies: Annotated[
        bool, typer.Option("--secure-cookies", help="behind HTTPS: send the session cookie over HTTPS only")
    ] = False,
) -> None:
    """
    Serve the review desk over the stores that the settings name.

    Create the first account with: redline desk --add-reviewer NAME
    """
    settings = load_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    desk_store = open_desk_store(settings.desk_store_url)
    try:
        if add_reviewer:
            password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
            add_user(
                desk_store,
                add_reviewer,
                display_name=add_reviewer,
                password=password,
                at=utc_now(),
                actor="operator",
            )
            say(f"reviewer {add_reviewer} may sign in")
            return
        events = open_event_store(settings)
        try:
            _serve(
                settings,
                desk_store,
                events,
                host=host or settings.host,
                port=port or settings.port,
                demo=False,
                secure=secure_cookies,
            )
        finally:
            events.close()
    finally:
        desk_store.close()


def _load(settings: Settings, events: EventStore, file: Path) -> None:
    """Judge a file into the event store and show what was found."""
    cascade = build_cascade(settings)
    verdicts: list[Verdict] = []
    waiting: list[Judged] = []

    def write() -> None:
        events.write_messages([StoredMessage(item.turn.message, None) for item in waiting])
        stored = events.verdicts([verdict_key(item.verdict) for item in waiting])
        changed = [
            item.verdict for item in waiting if not _same(stored.get(verdict_key(item.verdict)), item.verdict)
        ]
        events.write_verdicts([StoredVerdict(verdict, None) for verdict in changed])
        waiting.clear()

    with progress_bar(f"judging {file.name}") as update:
        for number, result in enumerate(scan(read_records(file), build_pipeline(cascade)), start=1):
            update(number, "")
            if isinstance(result, BadRecord):
                complain(str(result))
                continue
            verdicts.append(result.verdict)
            waiting.append(result)
            if len(waiting) >= WRITE_BATCH:
                write()
        write()
    _show(verdicts, cascade.catalogue)


def _same(stored: Verdict | None, fresh: Verdict) -> bool:
    """True when only the time of judging differs: a reviewer's open page stays valid."""
    return (
        stored is not None
        and replace(stored, detected_at=fresh.detected_at, latency_ms=fresh.latency_ms) == fresh
    )


def _show(verdicts: Iterable[Verdict], catalogue: Catalogue) -> None:
    judged = list(verdicts)
    outcomes = Counter(verdict.outcome.value for verdict in judged)
    labels = Counter(finding.label for verdict in judged if verdict.flagged for finding in verdict.findings)
    table = Table(
        box=None,
        header_style="bold",
        title=f"{len({v.conversation_id for v in judged})} conversations, {len(judged)} messages",
        title_justify="left",
    )
    for column, side in (("label", "left"), ("", "left"), ("messages", "right"), ("for example", "left")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for label, entry in catalogue.labels.items():
        if labels[label]:
            table.add_row(label, entry.name, str(labels[label]), _example(judged, label))
    results.print(table)
    results.print(
        f"{outcomes['flagged']} flagged · {outcomes['undecided']} undecided · {outcomes['clean']} clean"
    )


def _example(verdicts: Iterable[Verdict], label: str) -> str:
    found = [
        (f.score, f.evidence[0].text)
        for v in verdicts
        if v.flagged
        for f in v.findings
        if f.label == label and f.evidence
    ]
    return max(found)[1][:24] if found else ""


def _serve(
    settings: Settings,
    store: DeskStore,
    events: EventStore,
    *,
    host: str,
    port: int,
    demo: bool,
    secure: bool = False,
) -> None:
    def build(catalogue: CatalogueView) -> FastAPI:
        return create_desk(
            store=store,
            catalogue=catalogue,
            secret_key=desk_secret(settings),
            demo_user=DEMO_REVIEWER_NAME if demo else None,
            clock=utc_now,
            sync=sync,
            allowed_hosts=LOOPBACK if demo else ("*",),
            secure_cookies=secure,
        )

    def sync() -> None:
        app.follow()
        _pull(settings, events, store)

    app = FollowingDesk(PackWatch(settings.pack, load_rules(settings)), build)
    say(f"review desk on http://{host}:{port}  (Ctrl+C ends it)")
    people.file.flush()
    with repeating(CaseMemoryWriter(store, settings.case_memory_path), every_s=REMEMBER_EVERY_S):
        uvicorn.run(app, host=host.strip("[]"), port=port, log_level="warning")


def _pull(settings: Settings, events: EventStore, store: DeskStore) -> None:
    """New verdicts into the desk; decisions and what happened to models out of it, into the event store."""
    pull_cases(events, store, clock=utc_now)
    note_dead_letters(store, open_dead_letters(events))
    publish_reviews(store, events.write_reviews, destination=EVENT_STORE)
    models = model_ledger(model_store(settings))
    publish_ledger(store, models, events.write_ledger, destination=EVENT_STORE)
