"""
`make bench-streams`: the worker against bare clients, on a real broker, all in one run. Asserts nothing about time.

    python -m tests.benchmarks.streams [--messages N] [--soak N] [--only PART …] [--chats FILE …] [--quick]

Leave the machine alone while it runs: broker, workers and sender share its cores.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.dev.services import KafkaBroker
from detectors.domain import Message
from streams.topics import ensure_topics, topic_specs
from tests.benchmarks import profiled_worker as profiling
from tests.benchmarks.bare_clients import CLIENTS, installed
from tests.benchmarks.messages import add_chats_option, endless_messages, first_messages
from tests.benchmarks.stream_tools import (
    PATIENCE_SEC,
    VerdictCount,
    Watcher,
    process,
    profiled_worker,
    redline_worker,
    resident_bytes,
    send_all,
    send_paced,
)

PARTITIONS = 4
MESSAGES, QUICK_MESSAGES = 20_000, 2_000
SOAK, QUICK_SOAK = 100_000, 4_000
WARM_UP = 200
PACED_SEC, QUICK_PACED_SEC = 30, 5
LOADS = (0.1, 0.5, 0.9)
WORKERS = (1, 2, 4)
RECOVERIES = 3
# Bare clients are fast: they read so many times the messages of the others.
BARE_TIMES = 5
# Until the last of several workers has joined and has its partitions.
JOIN_SEC = 15
LOOKS = 10
MEBI = 1 << 20
PARTS = ("throughput", "profile", "latency", "recovery", "soak")

Command = tuple[list[str], dict[str, str]]

people = Console(stderr=True)
results = Console(width=None if sys.stdout.isatty() else 150)


@dataclass
class Run:
    """What all parts share: a folder, the table, and messages with ids that no other part used."""

    folder: Path
    table: Table
    number: int
    quick: bool
    chats: Sequence[Path] = ()
    used: int = 0

    def fresh(self, count: int) -> list[Message]:
        """So many messages."""
        self.used += 1
        return with_suffix(first_messages(count, self.chats), self.used)

    def logged(self, command: Command) -> tuple[list[str], Path, dict[str, str]]:
        """What `process` takes."""
        return command[0], self.folder / "processes.log", command[1]

    @contextmanager
    def broker(self, name: str) -> Iterator[KafkaBroker]:
        """An empty broker with the topics."""
        with KafkaBroker.start(self.folder / name) as broker:
            ensure_topics(broker.bootstrap, topic_specs(PARTITIONS))
            yield broker


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.streams", description=__doc__)
    parser.add_argument("--messages", type=int, help=f"messages of each throughput run ({MESSAGES:,})")
    parser.add_argument("--soak", type=int, help=f"messages of the memory run ({SOAK:,})")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    add_chats_option(parser, "send, instead of the seed corpus,")
    parser.add_argument("--quick", action="store_true", help="few messages, one worker: does it run at all?")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that brokers and workers end with it
    number = chosen.messages or (QUICK_MESSAGES if chosen.quick else MESSAGES)
    soak = chosen.soak or (QUICK_SOAK if chosen.quick else SOAK)
    title = f"{os.cpu_count()} cores, load average before {os.getloadavg()[0]:.1f}, {number:,} messages"
    table = Table("", "", "", box=None, title=title, title_justify="left")
    with tempfile.TemporaryDirectory(prefix="redline-bench-") as folder:
        run = Run(Path(folder), table, number, chosen.quick, chosen.chats)
        try:
            _measure(run, frozenset(chosen.only), soak)
        except RuntimeError:
            people.print((run.folder / "processes.log").read_text(errors="replace")[-3000:], markup=False)
            raise
    results.print(table)


def _measure(run: Run, parts: frozenset[str], soak: int) -> None:
    capacity = 0.0
    if "throughput" in parts:
        capacity = _throughput(run, WORKERS[:1] if run.quick else WORKERS)
    if "profile" in parts:
        _profile(run)
    if "latency" in parts:
        _latency(run, capacity or _worker_rate(run, 1))
    if "recovery" in parts:
        _recovery(run)
    if "soak" in parts:
        _soak(run, soak)


def with_suffix(messages: Sequence[Message], run: int) -> list[Message]:
    """The same with ids of this run."""
    return [
        replace(m, message_id=f"{m.message_id}-r{run}", conversation_id=f"{m.conversation_id}-r{run}")
        for m in messages
    ]


def ids(messages: Sequence[Message]) -> list[str]:
    """Their ids."""
    return [message.message_id for message in messages]


def _throughput(run: Run, workers: Sequence[int]) -> float:
    with run.broker("bare") as broker:
        people.print("bare Faust agent, bare consumers …")
        agent = [sys.executable, "-m", "tests.benchmarks.bare_faust"]
        command = [*agent, broker.bootstrap, str(run.folder / "faust")]
        forward = _rate(run, broker, [(command, {})], run.number)
        send_all(broker.bootstrap, run.fresh(BARE_TIMES * run.number))
        wanted = BARE_TIMES * run.number
        consumers = {name: client(broker.bootstrap, wanted) for name, client in installed().items()}
    fastest = max(consumers.values())
    missing = ", ".join(sorted(CLIENTS.keys() - consumers.keys()))
    for name, rate in sorted(consumers.items(), key=lambda item: -item[1]):
        note = "the fastest" + (f" (not installed: {missing})" if missing else "") if rate == fastest else ""
        run.table.add_row(f"bare consumer, decodes: {name}", f"{rate:,.0f} /s", note)
    run.table.add_row("bare Faust agent: decodes and forwards", f"{forward:,.0f} /s", "")
    one = 0.0
    for count in workers:
        rate = _worker_rate(run, count)
        one = one or rate
        note = f"x {rate / one:.2f} of one worker"
        if count == 1:
            note = f"1/{forward / rate:.1f} of the bare agent, 1/{fastest / rate:.0f} of the fastest consumer"
        run.table.add_row(f"redline worker x {count}, rules and model", f"{rate:,.0f} /s", note)
    return one


def _worker_rate(run: Run, count: int) -> float:
    people.print(f"{count} workers, rules and model …")
    with run.broker(f"workers{count}-{run.used}") as broker:
        commands = [redline_worker(broker.bootstrap, run.folder, each) for each in range(count)]
        return _rate(run, broker, commands, run.number)


def _rate(run: Run, broker: KafkaBroker, commands: Sequence[Command], number: int) -> float:
    messages, warm_up = run.fresh(number), run.fresh(WARM_UP)
    with ExitStack() as running:
        started = [running.enter_context(process(*run.logged(each))) for each in commands]
        warmth = running.enter_context(Watcher(broker.bootstrap).watching())
        send_all(broker.bootstrap, warm_up)
        warmth.wait_for(ids(warm_up), *started)
        if len(commands) > 1:
            time.sleep(JOIN_SEC)
        watcher = running.enter_context(Watcher(broker.bootstrap).watching())
        send_all(broker.bootstrap, messages)
        watcher.wait_for(ids(messages), *started)
        return watcher.per_second(len(messages))


def _profile(run: Run) -> None:
    people.print("where the time goes …")
    directory = run.folder / "profile"
    directory.mkdir()
    warm_up, messages = run.fresh(WARM_UP), run.fresh(run.number)
    with run.broker("profiled") as broker, ExitStack() as running:
        command = profiled_worker(broker.bootstrap, directory)
        worker = running.enter_context(process(*run.logged(command)))
        watcher = running.enter_context(Watcher(broker.bootstrap).watching())
        send_all(broker.bootstrap, warm_up)
        watcher.wait_for(ids(warm_up), worker)
        send_all(broker.bootstrap, messages)  # before: the sender is not to share the cores
        (directory / profiling.GO).touch()
        watcher.wait_for(ids(messages), worker)
        (directory / profiling.GO).unlink()
        report = directory / profiling.REPORT
        deadline = time.monotonic() + PATIENCE_SEC
        while not report.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        counts = json.loads(report.read_text(encoding="utf-8"))
    loop, client = counts["loop"], counts["client"]
    total = sum(loop.values())
    shares = sorted(((part, count / total) for part, count in loop.items()), key=lambda item: -item[1])
    for number, (part, share) in enumerate(shares):
        run.table.add_row("where one worker's loop is" if number == 0 else "", f"{share:.0%}", part)
    busy = 1 - client.get(profiling.WAITS, 0) / max(1, sum(client.values()))
    run.table.add_row("", f"{busy:.0%}", "the Kafka client's thread beside it is busy")


def _latency(run: Run, capacity: float) -> None:
    seconds = QUICK_PACED_SEC if run.quick else PACED_SEC
    with run.broker("latency") as broker, ExitStack() as running:
        worker = running.enter_context(process(*run.logged(redline_worker(broker.bootstrap, run.folder, 9))))
        watcher = running.enter_context(Watcher(broker.bootstrap).watching())
        warm_up = run.fresh(WARM_UP)
        send_all(broker.bootstrap, warm_up)
        watcher.wait_for(ids(warm_up), worker)
        for load in LOADS:
            people.print(f"latency at {load:.0%} of {capacity:,.0f} /s …")
            messages = run.fresh(max(50, int(capacity * load * seconds)))
            sent = send_paced(broker.bootstrap, messages, capacity * load)
            watcher.wait_for(sent, worker)
            waits = sorted(watcher.first[name] - at for name, at in sent.items())
            p50, p99 = (waits[int(len(waits) * share)] * 1000 for share in (0.5, 0.99))
            run.table.add_row(
                f"produce to verdict at {load:.0%} of capacity",
                f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms",
                f"{len(sent):,} messages, {capacity * load:,.0f} /s",
            )


def _recovery(run: Run) -> None:
    with run.broker("recovery") as broker, ExitStack() as running:
        command = redline_worker(broker.bootstrap, run.folder, 7)
        worker = running.enter_context(process(*run.logged(command)))
        watcher = running.enter_context(Watcher(broker.bootstrap).watching())
        warm_up = run.fresh(WARM_UP)
        send_all(broker.bootstrap, warm_up)
        watcher.wait_for(ids(warm_up), worker)
        found = []
        for _ in range(1 if run.quick else RECOVERIES):
            people.print("recovery after kill -9 …")
            send_all(broker.bootstrap, run.fresh(WARM_UP))  # it is killed at work
            worker.kill()
            worker.wait()
            killed = time.time()
            after = run.fresh(WARM_UP)
            send_all(broker.bootstrap, after)
            worker = running.enter_context(process(*run.logged(command)))
            watcher.wait_for(ids(after), worker)
            found.append(min(watcher.first[name] for name in ids(after)) - killed)
        run.table.add_row(
            "from kill -9 to the next verdict",
            ", ".join(f"{each:.1f}" for each in found) + " s",
            "started again at once; most of it is the group's session timeout",
        )


def _soak(run: Run, number: int) -> None:
    people.print(f"memory over {number:,} messages …")
    with run.broker("soak") as broker:
        send_all(broker.bootstrap, islice(endless_messages(run.chats), number))
        verdicts = VerdictCount(broker.bootstrap)
        command = redline_worker(broker.bootstrap, run.folder, 6)
        with process(*run.logged(command)) as worker:
            looks: list[tuple[int, int]] = []
            began, heard, last = time.monotonic(), time.monotonic(), 0
            while (done := verdicts.now()) < number:
                if done > last:
                    heard, last = time.monotonic(), done
                if worker.poll() is not None or time.monotonic() - heard > PATIENCE_SEC:
                    raise RuntimeError(f"{number - done} messages without a verdict")
                if done >= number * (len(looks) + 1) / LOOKS:
                    looks.append((done, resident_bytes(worker.pid)))
                    people.print(f"  {done:,} done, {looks[-1][1] / MEBI:,.0f} MiB")
                time.sleep(0.5)
            looks.append((done, resident_bytes(worker.pid)))
            rate = number / (time.monotonic() - began)
        verdicts.close()
    half = next(memory for done, memory in looks if done >= number / 2)
    run.table.add_row(
        f"memory over {number:,} messages, all waiting at the start",
        " ".join(f"{memory / MEBI:,.0f}" for _, memory in looks) + " MiB",
        f"after each tenth; the last is x {looks[-1][1] / half:.2f} of half way; {rate:,.0f} /s with its start",
    )


if __name__ == "__main__":
    main()
