"""What could not be judged, told while a file is read: the first ones on the terminal, all of them in a report."""

from typing import BinaryIO

import orjson

from deploy.cli.console import complain
from detectors.domain import Message
from streams import wire
from streams.errors import InvalidMessage
from streams.identity import event_of
from streams.readers.base import BadRecord

MOST_COMPLAINTS = 50


class Complaints:
    """
    Tells bad records and repeated messages of one file, with line and field, and counts them.

    Of each kind the terminal gets the first `MOST_COMPLAINTS`, the report (JSON lines) every one.
    """

    def __init__(self, report: BinaryIO | None = None) -> None:
        self.unreadable = 0
        self.repeated = 0
        self._report = report

    def bad(self, record: BadRecord) -> None:
        """A record that gave no message."""
        self.unreadable += 1
        self._tell(self.unreadable, str(record), "bad records")
        self._note(record.line, "unreadable", record.reason, record.field, record.detail)

    def repeat(self, line: int, message: Message) -> None:
        """A message whose id came before. An edit or a recall does so on purpose and is none."""
        if event_of(message) != "said":
            return
        self.repeated += 1
        detail = (
            f"{wire.quoted(message.message_id)} came before in this conversation: "
            "judged again; of the same text stores keep one"
        )
        error = InvalidMessage("repeated_id", detail, field="message_id", line=line)
        self._tell(self.repeated, str(error), "repeats")
        self._note(line, "repeated", error.reason, error.field, detail)

    def _tell(self, count: int, text: str, what: str) -> None:
        if count <= MOST_COMPLAINTS:
            complain(text)
        elif count == MOST_COMPLAINTS + 1:
            more = "the report names them all" if self._report else "they are counted at the end"
            complain(f"more {what} follow; {more}")

    def _note(self, line: int, status: str, reason: str, field: str | None, detail: str) -> None:
        if self._report is not None:
            told = {"line": line, "status": status, "reason": reason, "field": field, "detail": detail}
            self._report.write(orjson.dumps(told) + b"\n")
