"""`redline publish`: decisions and the ledger, from the desk and the model store to Kafka."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from deploy.cli.console import complain, say
from deploy.clock import utc_now
from deploy.ledger import model_ledger
from deploy.pack_watch import PackWatch
from deploy.rounds import Rounds
from deploy.settings import Settings, load_settings
from deploy.wiring import load_rules, model_store
from rules.errors import PackError
from streams.errors import BrokerError
from streams.ledger import encode_ledger_record
from streams.reviews import encode_review

if TYPE_CHECKING:  # needs the streams extra; --help does not
    from streams.producer import MessageProducer

DESTINATION = "kafka"
ACTOR = "system"
SILENCE_SEC = 180
"""Longer than the broker may be away before the command ends by itself."""
T = TypeVar("T")

log = logging.getLogger(__name__)


def publish_cli(
    once: Annotated[bool, typer.Option("--once", help="send what is there, then end")] = False,
    every_s: Annotated[float, typer.Option("--every", min=0.5, help="seconds between two looks")] = 5.0,
) -> None:
    """
    Send decisions to compliance.reviews, and what happened to models and rules to compliance.models.

    Goes on until a signal comes. Where it stopped is kept in the desk store; a repeat is harmless.
    Needs the desk and streams extras. Exit code 0: ended by a signal or --once. 1: a store or the
    broker refused; start it again, nothing is lost. With REDLINE_STATUS it answers /health and /metrics.
    """
    from prometheus_client import CollectorRegistry, Counter

    from deploy.topics import make_topics
    from feedback.outbox import note_pack, publish_ledger, publish_reviews
    from feedback.store.desk_store import open_desk_store
    from streams.producer import MessageProducer
    from streams.status_server import serving_status
    from streams.topics import MODELS, REVIEWS

    settings = load_settings()
    make_topics(settings)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    store = open_desk_store(settings.desk_store_url)
    reviews, entries = 0, 0
    rounds = Rounds(timedelta(seconds=SILENCE_SEC + every_s), utc_now)
    registry = CollectorRegistry()
    sent = Counter("redline_published", "Records sent, by topic", ["topic"], registry=registry)

    def settled(topic: str, records: int) -> None:
        sent.labels(topic).inc(records)
        rounds.done()

    try:
        with ExitStack() as beside:
            if settings.status_address is not None and not once:
                host, port = settings.status_address
                beside.enter_context(serving_status(host, port, health=rounds.health, registry=registry))
            to_reviews = beside.enter_context(MessageProducer(settings.broker, topic=REVIEWS))
            to_models = beside.enter_context(MessageProducer(settings.broker, topic=MODELS))
            send_reviews = _sender(
                to_reviews, lambda row: row.conversation_id, encode_review, partial(settled, REVIEWS)
            )
            send_ledger = _sender(
                to_models, lambda row: row.entry_id, encode_ledger_record, partial(settled, MODELS)
            )
            rules = _watch(settings)
            while True:
                if rules is not None:
                    rules.look()
                    note_pack(store, rules.pack.hash, at=utc_now(), actor=ACTOR)
                reviews += publish_reviews(store, send_reviews, destination=DESTINATION)
                models = model_ledger(model_store(settings))
                entries += publish_ledger(store, models, send_ledger, destination=DESTINATION)
                rounds.done()
                if once or stop.wait(every_s):
                    break
    finally:
        store.close()
    say(f"{reviews} reviews and {entries} ledger entries sent")


def _watch(settings: Settings) -> PackWatch | None:
    """The pack in service. Decisions do not wait for a pack that is being mended."""
    try:
        return PackWatch(settings.pack, load_rules(settings))
    except PackError as error:
        complain(f"the rule pack does not load; what is in service is not told until the next start: {error}")
        return None


def _sender(
    producer: "MessageProducer",
    key: Callable[[T], str],
    encode: Callable[[T], bytes],
    settled: Callable[[int], None],
) -> Callable[[Sequence[T]], None]:
    def send(rows: Sequence[T]) -> None:
        for row in rows:
            producer.send_bytes(key(row), key(row).encode(), encode(row))
        refused = producer.settle()
        if refused:
            raise BrokerError(f"the broker refused {refused[0].name}: {refused[0].error}", retryable=False)
        settled(len(rows))

    return send
