"""The mapping file: which column or key of a source becomes which field of a message."""

import codecs
import re
from collections.abc import Hashable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from detectors.domain import Speaker
from streams.readers.errors import MappingError

Kind = Literal["jsonl", "csv", "wecom"]
Target = Literal[
    "message_id",
    "conversation_id",
    "sent_at",
    "speaker",
    "text",
    "seq",
    "channel",
    "advisor_id",
    "customer_id",
    "branch",
    "product.code",
    "product.name",
    "product.kind",
    "language",
]

_BUNDLED = Path(__file__).parent / "mappings"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SpeakerPattern(_Part):
    """Who has an id that matches this regular expression in full."""

    pattern: str
    speaker: Speaker

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value


class Speakers(_Part):
    """From the source's value to a speaker: exact values, then patterns in order, then `otherwise`."""

    values: dict[str, Speaker] = {}
    patterns: tuple[SpeakerPattern, ...] = ()
    otherwise: Speaker | None = None

    @cached_property
    def folded(self) -> dict[str, Speaker]:
        """Exact values without regard to case."""
        return {value.strip().casefold(): speaker for value, speaker in self.values.items()}

    def speaker(self, value: str) -> Speaker | None:
        """The speaker, or None where the mapping does not say."""
        found = self.folded.get(value.strip().casefold())
        if found is not None:
            return found
        for rule in self.patterns:
            if re.fullmatch(rule.pattern, value):
                return rule.speaker
        return self.otherwise


class Times(_Part):
    """How the source writes `sent_at`. A time without an offset needs `offset`."""

    format: Literal["rfc3339", "epoch_ms", "epoch_s"] = "rfc3339"
    naive_formats: tuple[str, ...] = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S")
    offset: str | None = Field(default=None, pattern=r"^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$")

    def localised(self, value: str) -> str | None:
        """The time in RFC 3339 by the declared offset; None when it has none or another shape."""
        for form in self.naive_formats if self.offset else ():
            try:
                moment = datetime.strptime(value.strip(), form)  # noqa: DTZ007 - the offset follows
            except ValueError:
                continue
            return None if moment.tzinfo else f"{moment.isoformat()}{self.offset}"
        return None


class Report(_Part):
    """Records that are no message: reported with a reason instead of read. `*` means any value."""

    when: dict[str, str] = Field(min_length=1)
    reason: str
    detail: str


class Change(_Part):
    """
    Records that change another message: the field `event` says how, `message_id` is where its id stands.

    A message that is taken back has no text of its own.
    """

    when: dict[str, str] = Field(min_length=1)
    event: Literal["edit", "recall"]
    message_id: Names


class Texts(_Part):
    """Where the words are, by the record's kind. Other kinds are reported as `not_text`."""

    kind: str
    fields: dict[str, Names]
    others: dict[str, str] = {}


class FieldMapping(_Part):
    """One mapping file. Sources are columns, or for JSON dotted paths; the first that has a value counts."""

    version: Literal[1]
    kind: Kind
    encoding: str = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    fields: dict[Target, Names]
    constants: dict[Target, str] = {}
    times: Times = Times()
    speakers: Speakers = Speakers()
    participants: Names = ()
    expect: dict[str, str] = {}
    reports: tuple[Report, ...] = ()
    changes: tuple[Change, ...] = ()
    texts: Texts | None = None
    keep: Names = ()
    ignore: Names = ()

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        return checked_encoding(value)


def checked_encoding(name: str) -> str:
    """The name, if it is an encoding whose lines end in a plain newline byte."""
    try:
        newline = "\n".encode(codecs.lookup(name).name)
    except LookupError:
        raise ValueError(f"unknown encoding {name!r}: for example utf-8 or gb18030") from None
    if newline != b"\n":
        raise ValueError(f"encoding {name!r} cannot be read line by line: convert the file to UTF-8")
    return name


def load_mapping(path: Path) -> FieldMapping:
    """Read a mapping file. Raises `MappingError` that names every wrong entry."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a SafeLoader
        return FieldMapping.model_validate(content)
    except OSError as error:
        raise MappingError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MappingError(str(path), f"is no readable YAML: {error}") from None
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
        raise MappingError(str(path), "; ".join(lines)) from None


def bundled_mapping(kind: Literal["csv", "wecom"]) -> FieldMapping:
    """The mapping shipped for this kind."""
    return load_mapping(_BUNDLED / f"{kind}.yaml")


class _StrictLoader(yaml.SafeLoader):
    """Refuses repeated keys, which YAML would resolve to the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
