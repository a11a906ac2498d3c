"""CSV files: one record at a time, and one stray quote costs one record, not the rest of the file."""

import csv
import re
from collections import deque
from collections.abc import Iterator

from streams.errors import InvalidMessage
from streams.readers.base import BadRecord, Numbered, bad_record
from streams.readers.errors import UnreadableSource
from streams.readers.lines import Line, blank_line, decoded, empty_source, too_long
from streams.readers.mapped import header_gaps, map_record
from streams.readers.mapping import FieldMapping
from streams.wire import MAX_RECORD_BYTES

MAX_RECORD_LINES = 2_000


def read_csv(lines: Iterator[Line], mapping: FieldMapping, name: str) -> Iterator[Numbered]:
    """
    The messages of a CSV file with a header row. Line breaks inside a cell become newlines.

    Raises `UnreadableSource` where the header cannot be read or lacks a required
    column, since no row could be understood.
    """
    rows = _Rows(lines, mapping)
    blanks: list[int] = []
    while (first := rows.next_line()) is not None and first.blank:
        blanks.append(first.number)
    if first is None:
        yield Numbered(1, empty_source("the file is empty: expected a header row and records"))
        return
    yield from (Numbered(number, blank_line(number)) for number in blanks)
    columns = _header(first, mapping, name)
    rows.columns = columns
    read = 0
    for number, cells in rows:
        read += 1
        if isinstance(cells, BadRecord):
            yield Numbered(number, cells)
            continue
        try:
            yield Numbered(number, map_record(dict(zip(columns, cells, strict=True)), mapping, line=number))
        except InvalidMessage as error:
            yield Numbered(number, bad_record(number, error, mapping.delimiter.join(cells)))
    if not read:
        yield Numbered(1, empty_source("the file has a header row but no records"))


def _header(line: Line, mapping: FieldMapping, name: str) -> list[str]:
    try:
        if line.cut:
            raise InvalidMessage("too_large", "the header row is longer than a record may be")
        columns = [column.strip() for column in _split(decoded(line, mapping.encoding), mapping.delimiter)]
    except InvalidMessage as error:
        raise UnreadableSource(name, f"line {line.number}: {error.detail}") from None
    except csv.Error as error:
        raise UnreadableSource(name, f"line {line.number}: the header row is no CSV: {error}") from None
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise UnreadableSource(
            name, f"line {line.number}: columns occur twice: {', '.join(map(repr, twice))}"
        )
    gaps = header_gaps(columns, mapping)
    if gaps:
        wanted = "; ".join(f"{field} (a column named {' or '.join(names)})" for field, names in gaps.items())
        raise UnreadableSource(
            name,
            f"line {line.number}: the header lacks {wanted}. It has: {', '.join(columns)}. "
            f"Rename the columns, name them in a mapping file, or check the delimiter {mapping.delimiter!r}",
        )
    return columns


class _Rows:
    """Rows of cells with the line they start on; a row that cannot be read is a `BadRecord`."""

    def __init__(self, lines: Iterator[Line], mapping: FieldMapping) -> None:
        self.columns: list[str] = []
        self._lines = lines
        self._mapping = mapping
        self._waiting: deque[Line] = deque()

    def next_line(self) -> Line | None:
        """The next physical line, those handed back first."""
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def __iter__(self) -> Iterator[tuple[int, list[str] | BadRecord]]:
        blanks: list[int] = []
        while (line := self.next_line()) is not None:
            if line.blank and not line.cut:
                blanks.append(line.number)
                continue
            yield from ((number, blank_line(number)) for number in blanks)
            blanks.clear()
            try:
                yield line.number, self._row(line)
            except InvalidMessage as error:
                yield line.number, bad_record(line.number, error, line.data)

    def _row(self, line: Line) -> list[str] | BadRecord:
        if line.cut:
            return too_long(line, self._column_after(line.data.decode(self._mapping.encoding, "replace")))
        text = decoded(line, self._mapping.encoding, self._column_after)
        try:
            cells = _split(text, self._mapping.delimiter)
        except csv.Error as error:
            if text.count('"') % 2:
                return self._continued(line, text)
            detail = f'not valid CSV: {error}; inside a quoted cell write a quote twice ("")'
            raise InvalidMessage("bad_csv", detail, field=self._broken_column(text)) from None
        return self._checked(cells)

    def _continued(self, line: Line, text: str) -> list[str]:
        """A row whose quoted cell goes on over line ends; hands the lines back where it never ends."""
        taken: list[Line] = []
        parts, size, quotes = [text], line.size, text.count('"')
        field = self._broken_column(text)
        try:
            while quotes % 2:
                more = self.next_line()
                if more is None:
                    raise InvalidMessage("bad_csv", "a quote opens here and is never closed", field=field)
                taken.append(more)
                size += more.size + 1
                if size > MAX_RECORD_BYTES or len(taken) > MAX_RECORD_LINES:
                    detail = "a quote opens here and is not closed within one record"
                    raise InvalidMessage("bad_csv", detail, field=field)
                parts.append(decoded(more, self._mapping.encoding, lambda _: field))
                quotes += parts[-1].count('"')
            try:
                cells = _split("\n".join(parts), self._mapping.delimiter)
            except csv.Error:
                detail = "a quote opens here and is closed in the wrong place"
                raise InvalidMessage("bad_csv", detail, field=field) from None
            return self._checked(cells)
        except InvalidMessage:
            self._waiting.extendleft(reversed(taken))
            raise

    def _checked(self, cells: list[str]) -> list[str]:
        width = len(self.columns)
        if len(cells) == width:
            return cells
        few = len(cells) < width
        advice = "fill the missing ones" if few else "put cells that hold the delimiter in double quotes"
        reason = "missing_cells" if few else "extra_cells"
        detail = f"has {len(cells)} cells, the header has {width}: {advice}"
        raise InvalidMessage(reason, detail, field=self.columns[len(cells)] if few else None)

    def _column_after(self, text: str) -> str | None:
        """The column of the cell in which `text`, the beginning of a row, ends."""
        csv.field_size_limit(MAX_RECORD_BYTES)
        try:
            cells = next(csv.reader([text], delimiter=self._mapping.delimiter), [])
        except csv.Error:
            return None
        return self._column(max(len(cells), 1) - 1)

    def _broken_column(self, text: str) -> str | None:
        """The column of the first cell of a row whose quotes are wrong."""
        mark = re.escape(self._mapping.delimiter)
        cell = re.compile(rf'"(?:[^"]|"")*+"(?={mark}|\Z)|(?!")[^{mark}]*')
        position = index = 0
        while (good := cell.match(text, position)) is not None and good.end() < len(text):
            position, index = good.end() + 1, index + 1
        return self._column(index) if good is None else None

    def _column(self, index: int) -> str | None:
        return self.columns[index] if index < len(self.columns) else None


def _split(text: str, delimiter: str) -> list[str]:
    # The limit of the csv module is global; rows are bounded before, so it may be generous.
    csv.field_size_limit(MAX_RECORD_BYTES)
    return next(csv.reader([text], delimiter=delimiter, strict=True), [])
