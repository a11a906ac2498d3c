"""Every record of a batch becomes a verdict or a dead letter, whatever it holds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from detectors.domain import Message, Outcome, Turn, Verdict
from streams.batch import BatchJudge, Record
from streams.codec import decode_verdict, encode_message
from streams.origin import Origin
from streams.pipeline import Pipeline
from streams.table_context import TableContext
from tests.stream_samples import START, message, verdict
from tests.streams.test_table_context import DictTable


class WordJudge:
    """Fails on the word `boom`; answers with too few verdicts on the word `short`."""

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        texts = [turn.message.text for turn in turns]
        if "boom" in texts:
            raise RuntimeError("boom")
        if "short" in texts:
            return []
        return [self.verdict(turn.message) for turn in turns]

    def verdict(self, message: Message) -> Verdict:
        reasons = ("x" * 3_000_000,) if message.text == "huge" else ()
        return verdict(message.message_id, outcome=Outcome.FLAGGED, queue_reasons=reasons)


def judge_values(values: Sequence[bytes | None]) -> tuple[list[str], list[tuple[int, str]]]:
    context = TableContext(DictTable(), committed=lambda _: None, clock=lambda: START)
    judge = BatchJudge(Pipeline(WordJudge(), context), context, clock=lambda: START)
    result = judge.judge(
        [Record(Origin("advisor.messages", 1, n), b"c1", value) for n, value in enumerate(values)]
    )
    ids = [decode_verdict(outgoing.value).message_id for outgoing in result.verdicts]
    assert all(outgoing.key == b"c1" for outgoing in result.verdicts)
    return ids, sorted((letter.offset, letter.reason) for letter in result.dead)


def said(number: int, text: str = "您好") -> bytes:
    return encode_message(message(number, text=text))


def test_good_messages_get_verdicts_in_order() -> None:
    assert judge_values([said(1), said(2)]) == (["c1-m1", "c1-m2"], [])


def test_empty_batch_is_fine() -> None:
    assert judge_values([]) == ([], [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (said(7, "boom"), "pipeline_error"),
        (said(7, "short"), "pipeline_error"),
        (said(7, "huge"), "verdict_too_large"),
        (encode_message(message(7, "c2")), "wrong_key"),
        (encode_message(replace(message(7), sent_at=START + timedelta(days=2))), "clock_skew"),
    ],
    ids=[
        "tombstone",
        "bytes",
        "deep",
        "judge fails",
        "judge answers too little",
        "verdict too large",
        "wrong key",
        "clock",
    ],
)
def test_bad_record_does_not_take_the_others_with_it(value: bytes | None, reason: str | None) -> None:
    ids, dead = judge_values([said(1), value, said(2)])
    assert ids == ["c1-m1", "c1-m2"]
    assert [offset for offset, _ in dead] == [1]
    assert reason in (None, dead[0][1])  # what the codec refuses has the codec's reason


def test_message_sent_twice_gets_a_verdict_each_time() -> None:
    assert judge_values([said(1), said(1)]) == (["c1-m1", "c1-m1"], [])


def test_a_clock_that_is_a_time_zone_off_is_borne_with() -> None:
    late = encode_message(replace(message(7), sent_at=START + timedelta(hours=8)))
    assert judge_values([late]) == (["c1-m7"], [])
