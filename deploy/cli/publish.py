"""`redline publish`: decisions and the ledger, from the desk and the model store to Kafka."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from deploy.cli.console import complain, say
from deploy.clock import utc_now
from deploy.ledger import model_ledger
from deploy.pack_watch import PackWatch
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
    broker refused; start it again, nothing is lost.
    """
    from deploy.topics import make_topics
    from feedback.outbox import note_pack, publish_ledger, publish_reviews
    from feedback.store.desk_store import open_desk_store
    from streams.producer import MessageProducer
    from streams.topics import MODELS, REVIEWS

    settings = load_settings()
    make_topics(settings)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    store = open_desk_store(settings.desk_store_url)
    reviews, entries = 0, 0
    try:
        with (
            MessageProducer(settings.broker, topic=REVIEWS) as to_reviews,
            MessageProducer(settings.broker, topic=MODELS) as to_models,
        ):
            send_reviews = _sender(to_reviews, lambda row: row.conversation_id, encode_review)
            send_ledger = _sender(to_models, lambda row: row.entry_id, encode_ledger_record)
            rules = _watch(settings)
            while True:
                if rules is not None:
                    rules.look()
                    note_pack(store, rules.pack.hash, at=utc_now(), actor=ACTOR)
                reviews += publish_reviews(store, send_reviews, destination=DESTINATION)
                models = model_ledger(model_store(settings))
                entries += publish_ledger(store, models, send_ledger, destination=DESTINATION)
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
    producer: "MessageProducer", key: Callable[[T], str], encode: Callable[[T], bytes]
) -> Callable[[Sequence[T]], None]:
    def send(rows: Sequence[T]) -> None:
        for row in rows:
            producer.send_bytes(key(row), key(row).encode(), encode(row))
        refused = producer.settle()
        if refused:
            raise BrokerError(f"the broker refused {refused[0].name}: {refused[0].error}", retryable=False)

    return send
