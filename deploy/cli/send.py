"""`redline send`: the messages of a file to Kafka, confirmed, and from where it stopped."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, BinaryIO

import orjson
import typer

from deploy.cli.console import EXIT_FAILED, UnwritableTarget, complain, progress_bar, say
from deploy.cli.sources import STDIN, EncodingOption, FileArgument, KindOption, MappingOption
from deploy.settings import load_settings
from detectors.domain import Message
from streams.codec import encode_record
from streams.errors import InvalidMessage
from streams.readers.base import BadRecord
from streams.readers.errors import UnreadableSource
from streams.readers.records import read_records
from streams.send_progress import SendProgress

if TYPE_CHECKING:
    from streams.producer import Delivery

SAVE_EVERY_SEC = 1.0


class _Run:
    """What happens between reading and the broker's answers, which come in the same order."""

    def __init__(self, progress: SendProgress | None, report: BinaryIO | None, skip: int) -> None:
        self.bad = 0
        self.skipped = skip
        self._progress = progress
        self._report = report
        # Of each message on its way: its conversation, and how many records were read with it.
        self._waiting: deque[tuple[str, int]] = deque()
        self._reached = skip
        self._saved = monotonic()

    def messages(self, records: Iterator[Message | BadRecord]) -> Iterator[Message]:
        for number, record in enumerate(records, start=1):
            if number <= self.skipped:
                continue
            if isinstance(record, Message):
                self._waiting.append((record.conversation_id, number))
                yield record
            else:
                self.bad += 1
                complain(str(record))
                self._tell({"line": record.line, "status": "unreadable", "reason": record.reason})

    def settled(self, delivery: "Delivery") -> None:
        conversation, self._reached = self._waiting.popleft()
        told: dict[str, object] = {"message_id": delivery.name, "conversation_id": conversation}
        if delivery.error:
            self._tell({**told, "status": "refused", "error": delivery.error})
        else:
            place = {"partition": delivery.partition, "offset": delivery.offset}
            self._tell({**told, "status": "delivered", **place})
        if monotonic() - self._saved > SAVE_EVERY_SEC:
            self.save()

    def would_send(self, message: Message) -> bool:
        """Tell what a run would do with it; False where it would be refused here."""
        conversation, _ = self._waiting.popleft()
        told = {"message_id": message.message_id, "conversation_id": conversation}
        try:
            encode_record(message)
        except InvalidMessage as error:
            complain(f"{message.message_id} would not be accepted: {error}")
            self._tell({**told, "status": "refused", "error": str(error)})
            return False
        self._tell({**told, "status": "would be sent"})
        return True

    def save(self) -> None:
        self._saved = monotonic()
        if self._progress is not None and self._reached > self.skipped:
            self._progress.reached(self._reached)

    def _tell(self, line: dict[str, object]) -> None:
        if self._report is not None:
            self._report.write(orjson.dumps(line) + b"\n")


def send_cli(
    file: FileArgument,
    kind: KindOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="send all of it, whatever was sent before")
    ] = False,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="write what became of each record (JSON lines) to this file"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="read and check every record, send nothing; asks no broker")
    ] = False,
) -> None:
    """
    Send the messages of FILE to the topic advisor.messages, keyed by conversation.

    Every message is checked before it is sent and confirmed by the broker after. A
    line that is no message is reported with its number and not sent. Sending twice is
    harmless. Topics that are missing are created. The broker is REDLINE_KAFKA; needs the streams extra.

    A run that was cut short goes on where it stopped, and a file that grew is sent from where it ended; a
    file that was sent whole is sent again. How far it came is kept in REDLINE_DATA_DIR/send.
    Try a new export or mapping with --dry-run first.

    Exit code 0: everything readable was delivered. 1: one was refused, or the broker did
    not answer. 2: bad usage or a file that cannot be read.

    Example: redline send chats.jsonl --report delivered.jsonl
    """
    settings = load_settings()
    path = None if file == STDIN else Path(file)
    records = read_records(path or STDIN, kind=kind, mapping=mapping, encoding=encoding)
    if dry_run:
        _check(records, report_file)
        return
    # Here, so that without the streams extra the command says what is missing.
    from deploy.topics import make_topics
    from streams.producer import send_messages
    from streams.topics import MESSAGES

    progress = _progress(path, settings.data_dir / "send", f"{settings.broker} {MESSAGES}")
    skip = progress.resume() if progress is not None and not from_start else 0
    if skip:
        say(f"going on behind record {skip}, where the last run stopped (--from-start sends all)")
    make_topics(settings)
    with ExitStack() as stack:
        out = stack.enter_context(_target(report_file, append=skip > 0)) if report_file is not None else None
        run = _Run(progress, out, skip)
        stack.callback(run.save)
        update = stack.enter_context(progress_bar("sending"))
        report = send_messages(
            run.messages(records),
            bootstrap=settings.broker,
            on_progress=lambda count: update(count, ""),
            on_delivery=run.settled,
        )
    if progress is not None:
        progress.finish()
    for failure in report.failed:
        complain(f"{failure.name} was not accepted: {failure.error}")
    say(
        f"{report.delivered} delivered to {settings.broker}, {len(report.failed)} refused, "
        f"{run.bad} not readable" + (f", {skip} sent before" if skip else "")
    )
    if report.failed:
        raise typer.Exit(EXIT_FAILED)


def _check(records: Iterator[Message | BadRecord], report_file: Path | None) -> None:
    """Read to the end and tell what would be sent."""
    with ExitStack() as stack:
        out = stack.enter_context(_target(report_file, append=False)) if report_file is not None else None
        run = _Run(None, out, 0)
        update = stack.enter_context(progress_bar("checking"))
        count = refused = 0
        for message in run.messages(records):
            if run.would_send(message):
                count += 1
            else:
                refused += 1
            update(count, "")
    say(f"{count} would be sent, {refused} refused, {run.bad} not readable; nothing was sent")


def _progress(path: Path | None, folder: Path, target: str) -> SendProgress | None:
    """Standard input cannot be gone back in."""
    if path is None:
        return None
    try:
        return SendProgress(folder, path, target)
    except OSError as error:
        raise UnreadableSource(str(path), f"cannot be read: {error.strerror or error}") from error


def _target(path: Path, *, append: bool) -> BinaryIO:
    """A run that goes on adds to the report of the one before."""
    try:
        return path.open("ab" if append else "wb")
    except OSError as error:
        raise UnwritableTarget(f"{path}: cannot be written: {error.strerror}") from error
