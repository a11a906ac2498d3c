"""`redline send|worker|sink|migrate`: the way over Kafka into ClickHouse."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import EXIT_FAILED, complain, progress_bar, say
from deploy.cli.scan import STDIN, EncodingOption, FileArgument, KindOption, MappingOption
from deploy.settings import load_settings
from deploy.wiring import ReloadingJudge, build_pipeline, open_event_store, utc_now
from detectors.domain import Message
from rules.errors import RedlineError
from streams.context import ConversationContext
from streams.pipeline import Pipeline
from streams.readers.base import BadRecord
from streams.readers.records import read_records


def send_cli(
    file: FileArgument,
    kind: KindOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
) -> None:
    """
    Send the messages of FILE to the topic advisor.messages, keyed by conversation.

    Every message is checked before it is sent and confirmed by the broker after. A
    line that is no message is reported with its number and not sent. Sending twice is
    harmless. Topics that are missing are created. The broker is REDLINE_KAFKA; needs the streams extra.

    Exit code 0: everything readable was delivered. 1: the broker refused one or did
    not answer. 2: bad usage or a file that cannot be read.

    Example: redline send chats.jsonl
    """
    from streams.producer import send_messages
    from streams.topics import ensure_topics, topic_specs

    settings = load_settings()
    ensure_topics(settings.kafka, topic_specs())
    bad = 0

    def messages() -> Iterator[Message]:
        nonlocal bad
        for record in read_records(
            "-" if file == STDIN else Path(file), kind=kind, mapping=mapping, encoding=encoding
        ):
            if isinstance(record, BadRecord):
                bad += 1
                complain(str(record))
            else:
                yield record

    with progress_bar("sending") as update:
        report = send_messages(
            messages(), bootstrap=settings.kafka, on_progress=lambda count: update(count, "")
        )
    for failure in report.failed:
        complain(f"{failure.name} was not accepted: {failure.error}")
    say(
        f"{report.delivered} delivered to {settings.kafka}, {len(report.failed)} refused by the broker, {bad} not readable"
    )
    if report.failed:
        raise typer.Exit(EXIT_FAILED)


def worker_cli(
    batch_wait_ms: Annotated[int, typer.Option(help="longest wait for a fuller batch, in milliseconds")] = 20,
) -> None:
    """
    Judge advisor.messages onto compliance.verdicts until a signal comes (needs the streams extra).

    Run as many as there are partitions; they share the work. What cannot be judged
    goes to advisor.messages.dlq with its reason. A promoted model is taken up while it
    runs. The broker is REDLINE_KAFKA.

    Exit code 0: ended by a signal. 1: had to stop; start it again, nothing is lost.
    """
    from streams.app import WorkerConfig, run_worker

    settings = load_settings()
    judge = ReloadingJudge(settings)

    def pipeline(context: ConversationContext) -> Pipeline:
        return build_pipeline(judge, context)

    config = WorkerConfig(
        bootstrap=settings.kafka, data_dir=settings.data_dir / "worker", batch_wait_ms=batch_wait_ms
    )
    run_worker(config, pipeline)


def sink_cli() -> None:
    """
    Write messages and verdicts from Kafka into the event store until a signal comes (needs the streams extra).

    The store is REDLINE_CLICKHOUSE, or a SQLite file in REDLINE_DATA_DIR without it.
    Offsets move after the write, and repeats are harmless.
    """
    from streams.sink import SinkConfig, run_sink

    settings = load_settings()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    store = open_event_store(settings)
    try:
        report = run_sink(SinkConfig(settings.kafka), store, stop=stop, clock=utc_now)
    finally:
        store.close()
    say(
        f"{report.messages} messages and {report.verdicts} verdicts written, {report.skipped} records skipped, {report.dead} dead-lettered"
    )


def migrate_cli(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the statements, run nothing")] = False,
    to: Annotated[
        int | None, typer.Option("--to", help="migrate forward or back to this number; the newest without it")
    ] = None,
) -> None:
    """
    Bring the ClickHouse tables to the state that this version needs, or back.

    The server is REDLINE_CLICKHOUSE. Running it again changes nothing.

    Example: redline migrate --dry-run
    """
    from streams.store.clickhouse.client import ClickHouseClient
    from streams.store.clickhouse.migrate import migrate, plan

    settings = load_settings()
    if settings.clickhouse is None:
        raise RedlineError("REDLINE_CLICKHOUSE is not set; the embedded SQLite store needs no migration")
    client = ClickHouseClient(settings.clickhouse)
    steps = plan(client, target=to) if dry_run else migrate(client, clock=utc_now, target=to)
    for step in steps:
        typer.echo(str(step) if dry_run else f"{step.migration.name} {step.direction}")
    say(f"{len(steps)} migrations {'would run' if dry_run else 'ran'}")
