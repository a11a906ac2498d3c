"""`redline worker|sink|migrate`: the way over Kafka into ClickHouse."""

import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import say
from deploy.failing import FailureLog
from deploy.judging import VerdictSender, background_opinions
from deploy.repeating import repeating
from deploy.settings import load_settings
from deploy.wiring import ReloadingJudge, build_pipeline, open_event_store, utc_now
from rules.errors import RedlineError
from streams.addresses import host_and_port
from streams.asking import WatchedJudge
from streams.context import ConversationContext
from streams.pipeline import Judge, Pipeline

if TYPE_CHECKING:
    from streams.store.clickhouse.migrate import Step


def worker_cli(
    batch_wait_ms: Annotated[int, typer.Option(help="longest wait for a fuller batch, in milliseconds")] = 20,
    score: Annotated[
        str | None,
        typer.Option("--score", metavar="HOST:PORT", help="also answer 'redline score' requests here"),
    ] = None,
) -> None:
    """
    Judge advisor.messages onto compliance.verdicts until a signal comes (needs the streams extra).

    Run as many as there are partitions; they share the work. What cannot be judged
    goes to advisor.messages.dlq with its reason. A promoted model is taken up while it
    runs. The broker is REDLINE_KAFKA. REDLINE_STATUS is where it answers /health and /metrics.

    With --score it also judges over HTTP (see 'redline score'; needs the serve extra), by the same model,
    and knows the conversations of its own partitions.

    With REDLINE_JUDGE_URL an LLM is asked about undecided messages, beside it: what it flags goes out as a
    second, amended verdict (needs the judge extra).

    Exit code 0: ended by a signal. 1: had to stop; start it again, nothing is lost.
    """
    from deploy.topics import replication
    from streams.app import run_faust
    from streams.engine import WorkerConfig, run_worker
    from streams.metrics import WorkerMetrics

    settings = load_settings()
    metrics = WorkerMetrics()
    reloading = ReloadingJudge(settings, watch=FailureLog(metrics.count_degraded))
    judge: Judge = reloading
    address = _address(score)

    def pipeline(context: ConversationContext) -> Pipeline:
        nonlocal judge
        if address is not None:
            judge = _score_beside(judge, context, *address, token=settings.scoring_token)
        # Asking is not sending: what is only scored is not shown to the LLM judge.
        return build_pipeline(judge if opinions is None else WatchedJudge(judge, opinions), context)

    config = WorkerConfig(
        bootstrap=settings.broker,
        data_dir=settings.data_dir / "worker",
        partitions=settings.kafka_partitions,
        replication=replication(settings),
        batch_wait_ms=batch_wait_ms,
        status=settings.status_address,
    )
    sender = VerdictSender(settings.broker)
    with (
        background_opinions(
            settings, lambda: reloading.catalogue, sender, tally=metrics.count_opinion
        ) as opinions,
        repeating(reloading.follow, every_s=settings.model_check_s),
    ):
        run_worker(run_faust, config, pipeline, metrics=metrics)


def _address(given: str | None) -> tuple[str, int] | None:
    if given is None:
        return None
    try:
        return host_and_port(given)
    except ValueError as error:
        raise typer.BadParameter(f"{given!r}: {error}", param_hint="--score") from None


def _score_beside(
    judge: Judge, context: ConversationContext, host: str, port: int, *, token: str | None
) -> Judge:
    from prometheus_client import CollectorRegistry

    from deploy.bearer import warn_if_open
    from deploy.score_server import serve_beside
    from deploy.scoring import OneAtATime, Scorer, create_scoring_app

    shared = OneAtATime(judge)
    warn_if_open(host, token)
    serve_beside(create_scoring_app(Scorer(shared, context), CollectorRegistry(), token=token), host, port)
    return shared


def sink_cli() -> None:
    """
    Write what passes on Kafka into the event store until a signal comes (needs the streams extra).

    That is messages, verdicts, dead letters, reviews, and the ledger of models and rules. The store is
    REDLINE_CLICKHOUSE, or a SQLite file in REDLINE_DATA_DIR without it. Offsets move after the write, and
    repeats are harmless. While the store is away the sink waits and reads no further.

    REDLINE_STATUS is where it answers /health and /metrics: how many records are not yet stored, when it last
    wrote, for how long the store has been away. /health is 503 once store or broker were away for a minute;
    a restart mends neither, so do not restart on it.

    Exit code 0: ended by a signal. 1: the store refuses, or the broker is gone; start it again, nothing is lost.
    """
    from deploy.topics import replication
    from streams.sink import SinkConfig, run_sink

    settings = load_settings()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    store = open_event_store(settings)
    try:
        config = SinkConfig(
            settings.broker,
            partitions=settings.kafka_partitions,
            replication=replication(settings),
            status=settings.status_address,
        )
        report = run_sink(config, store, stop=stop, clock=utc_now)
    finally:
        store.close()
    say(
        f"{report.messages} messages, {report.verdicts} verdicts, {report.reviews} reviews, {report.ledger} ledger "
        f"entries and {report.letters} dead letters written, {report.skipped} records skipped, "
        f"{report.dead} dead-lettered"
    )


def migrate_cli(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the statements, run nothing")] = False,
    to: Annotated[
        int | None, typer.Option("--to", help="migrate forward or back to this number; the newest without it")
    ] = None,
    drop_data: Annotated[
        bool, typer.Option("--drop-data", help="go back even where rows are lost with their table")
    ] = False,
) -> None:
    """
    Bring the ClickHouse tables to the state that this version needs, or back.

    The server is REDLINE_CLICKHOUSE. Running it again changes nothing. Going back is refused where a table
    with rows would be dropped, unless you say --drop-data.

    Example: redline migrate --dry-run
    """
    from streams.store.clickhouse.client import ClickHouseClient
    from streams.store.clickhouse.migrate import migrate, plan, rows_lost

    settings = load_settings()
    if settings.clickhouse is None:
        raise RedlineError("REDLINE_CLICKHOUSE is not set; the embedded SQLite store needs no migration")
    client = ClickHouseClient(settings.clickhouse)
    try:
        steps: Sequence[Step] = plan(client, target=to)
        lost = rows_lost(client, steps)
        told = ", ".join(f"{rows:,} rows of {table}" for table, rows in lost.items())
        if lost and not (dry_run or drop_data):
            raise RedlineError(
                f"going back would lose {told}: nothing was run. Say --drop-data if that is meant"
            )
        if lost:
            say(f"{'would lose' if dry_run else 'loses'} {told}")
        if not dry_run:
            steps = migrate(client, clock=utc_now, target=to)
    finally:
        client.close()
    for step in steps:
        typer.echo(str(step) if dry_run else f"{step.migration.name} {step.direction}")
    say(f"{len(steps)} migrations {'would run' if dry_run else 'ran'}")
