"""Dead letters keep what is needed to repeat a record, say nothing private, and have a limit."""

import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.batch import RECORD_FRAME_BYTES
from streams.codec import decode_message
from streams.dead_letters import (
    MAX_ORIGINAL_BYTES,
    PIPELINE_ERROR,
    TOMBSTONE,
    DeadLetter,
    DeadLetterLimit,
    DeadLetterWindow,
    dead_letter,
    decode_dead_letter,
    encode_dead_letter,
    stack_digest,
)
from streams.errors import InvalidMessage, TooManyDeadLetters
from streams.topics import MAX_RECORD_BYTES

NOW = datetime(2025, 3, 1, tzinfo=UTC)


def letter(
    error: BaseException | None = None, *, reason: str = PIPELINE_ERROR, original: bytes | None = b"x"
) -> DeadLetter:
    return dead_letter(
        error,
        reason=reason,
        topic="advisor.messages",
        partition=3,
        offset=41,
        key=b"\xffkey",
        original=original,
        at=NOW,
    )


def raised(text: str) -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


@pytest.mark.parametrize("original", [b"\xff\x00 poison", b"", None], ids=["bytes", "empty", "tombstone"])
def test_dead_letter_survives_the_wire(original: bytes | None) -> None:
    written = letter(original=original)
    assert written == decode_dead_letter(encode_dead_letter(written))
    assert written.complete == (original is not None)


def test_original_is_base64_on_the_wire() -> None:
    wire = orjson.loads(encode_dead_letter(letter(original=b"\xff\x00")))
    assert base64.b64decode(wire["original"]) == b"\xff\x00"


def test_oversize_original_is_cut_and_says_so() -> None:
    whole = b"x" * (MAX_ORIGINAL_BYTES + 1)
    cut = letter(original=whole)
    assert not cut.complete
    assert len(whole) == cut.original_size
    assert cut.original == whole[:MAX_ORIGINAL_BYTES]
    assert letter(original=whole + b"y").original_sha256 != cut.original_sha256


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([0, 2_048, 150_000, 2_000_000]),
    st.sampled_from([0, 1_000_000, 2_000_000]),
    st.text(max_size=3),
    st.sampled_from([0, 40, 1_000_000]),
)
@example(2_000_000, 2_000_000, "\x00", 1_000_000)
def test_letter_fits_its_topic_whatever_the_record_was(
    key: int, original: int, said: str, times: int
) -> None:
    made = dead_letter(
        InvalidMessage("wrong_type", "expected a string", field=said * times),
        reason="",
        topic="advisor.messages",
        partition=0,
        offset=2**63 - 1,
        key=b"k" * key,
        original=b"x" * original,
        at=NOW,
    )
    assert made.key is not None
    assert len(made.key) + len(encode_dead_letter(made)) <= MAX_RECORD_BYTES - RECORD_FRAME_BYTES
    assert made == decode_dead_letter(encode_dead_letter(made))
    assert made.complete == (original <= MAX_ORIGINAL_BYTES)


def test_name_of_a_field_may_be_as_long_as_a_record() -> None:
    """And is told with what is wrong with it."""
    fields = (
        '"message_id":"m","conversation_id":"c","sent_at":"2025-03-01T09:30:00Z","speaker":"bot","text":""'
    )
    with pytest.raises(InvalidMessage) as caught:
        decode_message(f'{{{fields},"attributes":{{"{"x" * 1_000_000}":1}}}}')
    assert len(letter(caught.value).detail) < 2_000


def test_invalid_message_brings_its_reason_and_field() -> None:
    found = letter(InvalidMessage("missing_field", "is missing", field="speaker"))
    assert found.reason == "missing_field"
    assert found.detail == "field 'speaker': is missing"


def test_words_of_other_errors_stay_out() -> None:
    found = letter(raised("客户说：我的身份证号是"))
    assert "客户" not in encode_dead_letter(found).decode()
    assert found.detail == "ValueError"


def test_digest_names_the_place_not_the_values() -> None:
    assert stack_digest(raised("a")) == stack_digest(raised("b"))
    assert stack_digest(raised("a")) != stack_digest(ValueError("a"))
    assert letter(None, reason=TOMBSTONE, original=None).stack_digest == ""


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"key": 1}'])
def test_anything_else_is_no_dead_letter(raw: bytes) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_dead_letter(raw)
    assert caught.value.reason == "bad_dead_letter"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_limit_by_count() -> None:
    window = DeadLetterWindow(DeadLetterLimit(max_count=2, max_ratio=1.0), Clock())
    window.count(seen=10_000, failed=2)
    with pytest.raises(TooManyDeadLetters) as caught:
        window.count(seen=1, failed=1)
    assert (caught.value.failed, caught.value.seen) == (3, 10_001)


def test_limit_by_ratio_waits_for_enough_records() -> None:
    window = DeadLetterWindow(DeadLetterLimit(max_count=1_000, max_ratio=0.1, min_records=100), Clock())
    window.count(seen=50, failed=50)
    with pytest.raises(TooManyDeadLetters):
        window.count(seen=50, failed=1)


def test_a_good_batch_never_stops_the_worker() -> None:
    window = DeadLetterWindow(DeadLetterLimit(max_count=1_000, max_ratio=0.1, min_records=100), Clock())
    window.count(seen=50, failed=50)
    window.count(seen=60, failed=0)


def test_old_failures_are_forgotten() -> None:
    clock = Clock()
    window = DeadLetterWindow(DeadLetterLimit(max_count=2, window=timedelta(seconds=60)), clock)
    for _ in range(10):
        window.count(seen=1, failed=1)
        clock.now += timedelta(seconds=31)
