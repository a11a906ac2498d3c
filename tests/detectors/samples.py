"""Turns for tests, in few words."""

from datetime import UTC, datetime, timedelta

from detectors.domain import Message, Product, Speaker, Turn, Versions

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
VERSIONS = Versions(catalogue="test-1", pack="abc", model=None, memory=None, code="0")


def message(text: str, speaker: str = "advisor", number: int = 1, *, kind: str | None = None) -> Message:
    return Message(
        message_id=f"m{number}",
        conversation_id="c1",
        sent_at=AT + timedelta(seconds=number),
        speaker=Speaker(speaker),
        text=text,
        product=Product(kind=kind) if kind else None,
    )


def turn(text: str, *before: tuple[str, str], speaker: str = "advisor", kind: str | None = None) -> Turn:
    """A turn by the advisor after `before`, pairs of speaker and text."""
    earlier = tuple(message(said, who, number) for number, (who, said) in enumerate(before, start=1))
    return Turn(message(text, speaker, len(before) + 1, kind=kind), earlier)
