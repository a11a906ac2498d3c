"""
`make bench-streams`: the worker against bare clients, on a real broker, all in one run. Asserts nothing about time.

    python -m tests.benchmarks.streams [--messages N] [--quick]
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.dev.services import KafkaBroker
from detectors.domain import Message
from streams.topics import ensure_topics, topic_specs
from tests.benchmarks.messages import first_messages
from tests.benchmarks.stream_tools import (
    Watcher,
    process,
    redline_worker,
    run_bare_consumer,
    send_all,
    send_paced,
)

PARTITIONS = 4
MESSAGES, QUICK_MESSAGES = 20_000, 2_000
WARM_UP = 200
PACED_SEC, QUICK_PACED_SEC = 30, 10
LOADS = (0.1, 0.5, 0.9)
WORKERS = (1, 2, 4)

Fresh = Callable[[int], list[Message]]

people = Console(stderr=True)
results = Console(width=None if sys.stdout.isatty() else 120)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.streams", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="messages of each throughput run")
    parser.add_argument("--quick", action="store_true", help="few messages, one worker")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that brokers and workers end with it
    number = QUICK_MESSAGES if chosen.quick else chosen.messages
    table = Table(
        "", "", "", box=None, title=f"{os.cpu_count()} cores, {number:,} messages", title_justify="left"
    )
    supply = iter(range(1_000))

    def fresh(count: int) -> list[Message]:
        """Messages with ids that no other run used."""
        return with_suffix(first_messages(count), next(supply))

    with tempfile.TemporaryDirectory(prefix="redline-bench-") as folder:
        capacity = _throughput(Path(folder), number, table, fresh, WORKERS[:1] if chosen.quick else WORKERS)
        seconds = QUICK_PACED_SEC if chosen.quick else PACED_SEC
        _latency(Path(folder), capacity, seconds, table, fresh)
    results.print(table)


def with_suffix(messages: Sequence[Message], run: int) -> list[Message]:
    """The same with ids of this run."""
    return [
        replace(m, message_id=f"{m.message_id}-r{run}", conversation_id=f"{m.conversation_id}-r{run}")
        for m in messages
    ]


def ids(messages: Sequence[Message]) -> list[str]:
    """Their ids."""
    return [message.message_id for message in messages]


def _throughput(folder: Path, number: int, table: Table, fresh: Fresh, workers: Sequence[int]) -> float:
    with _broker(folder / "bare") as broker:
        messages = fresh(number)
        people.print("bare Faust agent, bare consumer …")
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.bare_faust",
            broker.bootstrap,
            str(folder / "faust"),
        ]
        forward = _rate(broker, folder, [(command, {})], messages, fresh(WARM_UP))
        consumer = run_bare_consumer(broker.bootstrap, number)
    table.add_row("bare consumer (aiokafka getmany, orjson)", f"{consumer:,.0f} /s", "")
    table.add_row("bare Faust agent: decodes and forwards", f"{forward:,.0f} /s", "")
    one = 0.0
    for count in workers:
        people.print(f"{count} workers, rules and model …")
        with _broker(folder / f"workers{count}") as broker:
            commands = [redline_worker(broker.bootstrap, folder, each) for each in range(count)]
            rate = _rate(broker, folder, commands, fresh(number), fresh(WARM_UP))
        one = one or rate
        note = (
            f"x {forward / rate:.1f} the time of the bare agent, x {consumer / rate:.0f} of the bare consumer"
        )
        table.add_row(
            f"redline worker x {count}",
            f"{rate:,.0f} /s",
            note if count == 1 else f"x {rate / one:.2f} of one worker",
        )
    return one


def _rate(
    broker: KafkaBroker,
    folder: Path,
    commands: Sequence[tuple[list[str], dict[str, str]]],
    messages: Sequence[Message],
    warm_up: Sequence[Message],
) -> float:
    with ExitStack() as running:
        started = [running.enter_context(process(*_logged(each, folder))) for each in commands]
        warmth = running.enter_context(Watcher(broker.bootstrap).watching())
        send_all(broker.bootstrap, warm_up)
        warmth.wait_for(ids(warm_up), *started)
        if len(commands) > 1:
            time.sleep(15)  # until the last has joined and has its partitions
        watcher = running.enter_context(Watcher(broker.bootstrap).watching())
        send_all(broker.bootstrap, messages)
        watcher.wait_for(ids(messages), *started)
        return watcher.per_second(len(messages))


def _latency(folder: Path, capacity: float, seconds: float, table: Table, fresh: Fresh) -> None:
    with _broker(folder / "latency") as broker, ExitStack() as running:
        command = redline_worker(broker.bootstrap, folder, 9)
        worker = running.enter_context(process(*_logged(command, folder)))
        watcher = running.enter_context(Watcher(broker.bootstrap).watching())
        warm_up = fresh(WARM_UP)
        send_all(broker.bootstrap, warm_up)
        watcher.wait_for(ids(warm_up), worker)
        for load in LOADS:
            people.print(f"latency at {load:.0%} of {capacity:,.0f} /s …")
            messages = fresh(max(50, int(capacity * load * seconds)))
            sent = send_paced(broker.bootstrap, messages, capacity * load)
            watcher.wait_for(sent, worker)
            waits = sorted(watcher.first[name] - at for name, at in sent.items())
            p50, p99 = (waits[int(len(waits) * share)] * 1000 for share in (0.5, 0.99))
            table.add_row(
                f"produce to verdict at {load:.0%} of capacity", f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms", ""
            )
        people.print("recovery after kill -9 …")
        send_all(broker.bootstrap, fresh(WARM_UP))
        worker.kill()
        worker.wait()
        killed = time.time()
        after = fresh(WARM_UP)
        send_all(broker.bootstrap, after)
        again = running.enter_context(process(*_logged(command, folder)))
        watcher.wait_for(ids(after), again)
        recovered = min(watcher.first[name] for name in ids(after)) - killed
        table.add_row("from kill -9 to the next verdict", f"{recovered:.1f} s", "started again at once")


def _logged(
    command: tuple[list[str], dict[str, str]], folder: Path
) -> tuple[list[str], Path, dict[str, str]]:
    return command[0], folder / "processes.log", command[1]


def _broker(folder: Path) -> KafkaBroker:
    broker = KafkaBroker.start(folder)
    ensure_topics(broker.bootstrap, topic_specs(PARTITIONS))
    return broker


if __name__ == "__main__":
    main()
