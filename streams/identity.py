"""
What makes two records the same thing, so that a repeat is harmless and nothing else is taken for one.

A CRM numbers messages within a conversation, and may send an id again with other words: an
edited message, a recalled one, or a bug. So a message is known by its conversation, its id
and what was said; a verdict by the message that it judged.
"""

from hashlib import sha256
from typing import Literal, NamedTuple

from detectors.domain import Message, Verdict

HASH_CHARS = 32
EVENT_ATTRIBUTE = "event"

Event = Literal["said", "edit", "recall"]


class MessageKey(NamedTuple):
    """One text of one message. `content_hash` is empty for verdicts of redline 0.1, which did not carry it."""

    conversation_id: str
    message_id: str
    content_hash: str


def event_of(message: Message) -> Event:
    """
    What the record tells: that something was said, changed, or taken back.

    Producers send it as the field `event` (`edit` or `recall`), under the id of the message
    that it changes. Any other value is an attribute without a meaning to redline.
    """
    given = message.attributes.get(EVENT_ATTRIBUTE)
    if given == "edit":
        return "edit"
    return "recall" if given == "recall" else "said"


def content_hash(message: Message) -> str:
    """
    The same for the same words of the same kind of speaker, whenever and however often they are sent.

    SHA-256 in hex, cut to 32 characters, of `said` or `recall`, the speaker and the text with NUL
    between. The ClickHouse migrations compute the same in SQL: never change it.
    """
    kind = "recall" if event_of(message) == "recall" else "said"
    told = f"{kind}\0{message.speaker.value}\0{message.text}"
    return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_CHARS]


def message_key(message: Message) -> MessageKey:
    """The key of a message."""
    return MessageKey(message.conversation_id, message.message_id, content_hash(message))


def verdict_key(verdict: Verdict) -> MessageKey:
    """The key of the message that a verdict judged."""
    return MessageKey(verdict.conversation_id, verdict.message_id, verdict.content_hash)
