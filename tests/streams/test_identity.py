"""What is the same message, and what is not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from detectors.domain import Message, Speaker
from streams.codec import decode_message, encode_message
from streams.identity import content_hash, event_of, message_key
from tests.stream_samples import message, rich_message

SAID = message(1, text="保本💰")


@pytest.mark.parametrize(
    "other",
    [
        replace(SAID, sent_at=SAID.sent_at + timedelta(days=1)),
        replace(SAID, seq=9, channel="wecom", attributes={"device": "ios"}),
        replace(SAID, attributes={"event": "edit"}),
        replace(SAID, attributes={"event": "birthday"}),
    ],
    ids=["time", "attributes", "edited to the same words", "an event without a meaning"],
)
def test_the_same_words_are_the_same(other: Message) -> None:
    assert message_key(SAID) == message_key(other)


@pytest.mark.parametrize(
    "other",
    [
        replace(SAID, text="保本💰 "),
        replace(SAID, speaker=Speaker.BOT),
        replace(SAID, attributes={"event": "recall"}),
    ],
    ids=["text", "speaker", "recall"],
)
def test_other_words_are_another(other: Message) -> None:
    assert content_hash(SAID) != content_hash(other)


def test_the_hash_is_a_contract() -> None:
    """The SQL of the migrations and producers in other languages compute it too."""
    assert "8b722387c7a360096c196ff3fef5a7f9" == content_hash(rich_message())


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({}, "said"),
        ({"event": "edit"}, "edit"),
        ({"event": "recall"}, "recall"),
        ({"attributes": {"event": "recall"}}, "recall"),
        ({"event": "RECALL"}, "said"),
        ({"event": 5}, "said"),
    ],
)
def test_the_event_may_stand_in_both_places(fields: dict[str, object], event: str) -> None:
    sent = {
        "message_id": "m",
        "conversation_id": "c",
        "sent_at": "2025-03-01T09:30:00+08:00",
        "speaker": "advisor",
        "text": "",
        **fields,
    }
    read = decode_message(sent)
    assert event == event_of(read)
    assert event == event_of(decode_message(encode_message(read)))
