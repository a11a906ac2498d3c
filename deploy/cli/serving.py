"""What `redline up` and `redline desk` do. Needs the desk extra."""

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fastapi import FastAPI

from deploy import listening
from deploy.cli.complaints import Complaints
from deploy.cli.console import people, progress_bar, say
from deploy.cli.summary import Summary
from deploy.desk import FollowingDesk
from deploy.ledger import model_ledger
from deploy.pack_watch import PackWatch
from deploy.repeating import repeating
from deploy.settings import Settings
from deploy.wiring import (
    build_pipeline,
    desk_secret,
    load_rules,
    model_store,
    utc_now,
)
from detectors.cascade import Cascade
from detectors.domain import Message, Outcome, Verdict
from feedback.case_memory import CaseMemoryWriter
from feedback.catalogue_view import CatalogueView
from feedback.intake import note_dead_letters, pull_cases
from feedback.outbox import publish_ledger, publish_reviews
from feedback.store.desk_store import DeskStore
from feedback.web.app import create_desk
from streams.asking import BackgroundOpinions
from streams.embedded import scan
from streams.identity import verdict_key
from streams.pipeline import Judged
from streams.readers.base import BadRecord, Numbered
from streams.store.base import EventStore, StoredMessage, StoredVerdict
from streams.store.queries import open_dead_letters

WRITE_BATCH = 256
# Where decisions go directly; `redline publish` sends them to Kafka.
EVENT_STORE = "events"
REMEMBER_EVERY_S = 2.0


def judge_into(
    events: EventStore,
    cascade: Cascade,
    records: Iterator[Numbered],
    name: str,
    *,
    opinions: BackgroundOpinions | None = None,
) -> None:
    """Judge a file into the event store and show what was found; what is undecided is offered to `opinions`."""
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
        if opinions is not None:
            for item in waiting:
                before = stored.get(verdict_key(item.verdict))
                if before is None or not before.amended:
                    opinions.offer(item.turn, item.verdict)
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
    """True when only the time of judging differs, or the LLM judge was heard: a reviewer's open page stays valid."""
    if stored is None:
        return False
    return (stored.amended and fresh.outcome is Outcome.UNDECIDED) or (
        replace(stored, detected_at=fresh.detected_at, latency_ms=fresh.latency_ms) == fresh
    )


def serve_desk(
    settings: Settings,
    store: DeskStore,
    events: EventStore,
    listener: socket.socket,
    address: str,
    *,
    demo_user: str | None = None,
    hosts: Sequence[str] = ("*",),
    secure_cookies: bool = False,
) -> None:
    """
    Serve until a signal comes, over a pack, models and stores that may change meanwhile.

    With `demo_user` everybody is that reviewer: then `hosts` names this machine only.
    """

    def build(catalogue: CatalogueView) -> FastAPI:
        return create_desk(
            store=store,
            catalogue=catalogue,
            secret_key=desk_secret(settings),
            demo_user=demo_user,
            clock=utc_now,
            sync=sync,
            allowed_hosts=hosts,
            secure_cookies=secure_cookies,
        )

    def sync() -> None:
        app.follow()
        _pull(settings, events, store)

    app = FollowingDesk(PackWatch(settings.pack, load_rules(settings)), build)
    say(f"review desk on {address}  (Ctrl+C ends it)")
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
