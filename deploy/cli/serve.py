"""`redline up` and `redline desk`: the review desk, with everything embedded or over the real stores."""

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from fastapi import FastAPI

from deploy import listening
from deploy.cli.complaints import Complaints
from deploy.cli.console import EXIT_USAGE, complain, people, progress_bar, say
from deploy.cli.sources import EncodingOption, KindOption, MappingOption
from deploy.cli.summary import Summary
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
from detectors.domain import Message, Verdict
from feedback.case_memory import CaseMemoryWriter
from feedback.catalogue_view import CatalogueView
from feedback.intake import note_dead_letters, pull_cases
from feedback.outbox import publish_ledger, publish_reviews
from feedback.store.desk_store import DeskStore, open_desk_store
from feedback.store.users import add_user
from feedback.web.app import create_desk
from streams.embedded import scan
from streams.identity import verdict_key
from streams.pipeline import Judged
from streams.readers.base import BadRecord, Numbered
from streams.readers.records import numbered_records
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
    int | None,
    typer.Option("--port", min=1, max=65535, help="port to serve on; REDLINE_PORT or 8000 without it"),
]


def up_cli(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="message JSONL, CSV or WeCom export to judge first; the bundled sample without it"
        ),
    ] = None,
    kind: KindOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    host: HostOption = None,
    port: PortOption = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="serve the desk afterwards")] = True,
) -> None:
    """
    Everything in one process: judge a file into an embedded store and serve the review desk.

    No Kafka, no ClickHouse, no internet. The desk signs everybody in as a demo
    reviewer, so it serves on this machine only. Cases and decisions stay in
    REDLINE_DATA_DIR; starting again judges only what would be judged differently.

    A line that is no message is reported with its number and counted; the rest goes on.

    Exit code 0: ended by a signal. 1: the address is taken. 2: bad usage, or a file, a
    setting or a rule pack that cannot be used.
    """
    settings = load_settings()
    host, port = host or settings.host, port or settings.port
    if serve and host not in LOOPBACK:
        complain(
            f"'up' signs everybody in as {DEMO_REVIEWER_NAME} and therefore serves on 127.0.0.1 only; for others run 'redline desk'"
        )
        raise typer.Exit(EXIT_USAGE)
    records = numbered_records(file or sample_file(), kind=kind, mapping=mapping, encoding=encoding)
    with ExitStack() as stack:
        # Before anything is judged: nobody should wait for a desk that cannot open.
        listener = stack.enter_context(listening.listen(host, port)) if serve else None
        events = open_event_store(settings)
        stack.callback(events.close)
        desk_store = open_desk_store(settings.desk_store_url)
        stack.callback(desk_store.close)
        _load(settings, events, records, (file or sample_file()).name)
        pull_cases(events, desk_store, clock=utc_now)
        if listener is not None:
            _serve(settings, desk_store, events, listener, host=host, port=port, demo=True)


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

    Exit code 0: ended by a signal. 1: the address is taken, or a store cannot be reached.
    2: a setting or a rule pack that cannot be used.
    """
    settings = load_settings()
    host, port = host or settings.host, port or settings.port
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
        with listening.listen(host, port) as listener, closing(open_event_store(settings)) as events:
            _serve(
                settings,
                desk_store,
                events,
                listener,
                host=host,
                port=port,
                demo=False,
                secure=secure_cookies,
            )
    finally:
        desk_store.close()


def _load(settings: Settings, events: EventStore, records: Iterator[Numbered], name: str) -> None:
    """Judge a file into the event store and show what was found."""
    cascade = build_cascade(settings)
    complaints = Complaints()
    numbers: deque[int] = deque()  # lines of the records that wait for their result
    summary = Summary()
    waiting: list[Judged] = []

    def write() -> None:
        events.write_messages([StoredMessage(item.turn.message, None) for item in waiting])
        stored = events.verdicts([verdict_key(item.verdict) for item in waiting])
        changed = [
            item.verdict for item in waiting if not _same(stored.get(verdict_key(item.verdict)), item.verdict)
        ]
        events.write_verdicts([StoredVerdict(verdict, None) for verdict in changed])
        waiting.clear()

    def contents() -> Iterator[Message | BadRecord]:
        for line, content in records:
            numbers.append(line)
            yield content

    with progress_bar(f"judging {name}") as update:
        for number, result in enumerate(scan(contents(), build_pipeline(cascade)), start=1):
            update(number, "")
            line = numbers.popleft()
            if isinstance(result, BadRecord):
                complaints.bad(result)
                continue
            if result.duplicate:
                complaints.repeat(line, result.turn.message)
            summary.add(result.verdict)
            waiting.append(result)
            if len(waiting) >= WRITE_BATCH:
                write()
        write()
    summary.show(cascade.catalogue, complaints)


def _same(stored: Verdict | None, fresh: Verdict) -> bool:
    """True when only the time of judging differs: a reviewer's open page stays valid."""
    return (
        stored is not None
        and replace(stored, detected_at=fresh.detected_at, latency_ms=fresh.latency_ms) == fresh
    )


def _serve(
    settings: Settings,
    store: DeskStore,
    events: EventStore,
    listener: socket.socket,
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
        listening.serve(app, listener)


def _pull(settings: Settings, events: EventStore, store: DeskStore) -> None:
    """New verdicts into the desk; decisions and what happened to models out of it, into the event store."""
    pull_cases(events, store, clock=utc_now)
    note_dead_letters(store, open_dead_letters(events))
    publish_reviews(store, events.write_reviews, destination=EVENT_STORE)
    models = model_ledger(model_store(settings))
    publish_ledger(store, models, events.write_ledger, destination=EVENT_STORE)
