"""The way of a batch of messages: context, then judgement. The same embedded and on Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Protocol

from detectors.domain import Message, Turn, Verdict
from rules.errors import RedlineError
from streams.context import ConversationContext
from streams.identity import content_hash

REMEMBERED_IDS = 100_000


class Judge(Protocol):
    """What gives verdicts: `detectors.cascade.Cascade`."""

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """One verdict per turn, in order. Does not raise for content."""


class JudgeMismatch(RedlineError):
    """The judge broke its promise of one verdict per turn, in order: nothing of the batch may be used."""


@dataclass(frozen=True, slots=True)
class Judged:
    """
    A message with its context and its verdict.

    `duplicate` is true when this pipeline has lately judged a message with the same
    conversation and id: it is judged again, so that nothing sent is left without a
    verdict, and stores keep one.
    """

    turn: Turn
    verdict: Verdict
    duplicate: bool


def judge_turns(judge: Judge, turns: Sequence[Turn]) -> list[Verdict]:
    """One verdict per turn, in order, each with the hash of what it judged. Raises `JudgeMismatch`."""
    verdicts = judge.judge(turns) if turns else []
    asked = [(turn.message.message_id, turn.message.conversation_id) for turn in turns]
    if [(verdict.message_id, verdict.conversation_id) for verdict in verdicts] != asked:
        raise JudgeMismatch(f"asked for {len(turns)} verdicts in order, got {len(verdicts)} or others")
    return [
        replace(verdict, content_hash=content_hash(turn.message))
        for turn, verdict in zip(turns, verdicts, strict=True)
    ]


class Pipeline:
    """
    Judges messages, in the order they come.

    Keeps no message itself, only a short hash of the ids of at least the last
    `REMEMBERED_IDS`. Not for use by several threads at once.
    """

    def __init__(self, judge: Judge, context: ConversationContext) -> None:
        self._judge = judge
        self._context = context
        self._recent: set[int] = set()
        self._before_those: set[int] = set()

    def process(self, messages: Sequence[Message]) -> list[Judged]:
        """
        One result per message, in order.

        When the judge raises, nothing counts as judged: the same batch can be
        processed again and gives the same turns. Raises `JudgeMismatch`.
        """
        turns = [self._context.turn(message) for message in messages]
        return [
            Judged(turn, verdict, self._seen(turn.message))
            for turn, verdict in zip(turns, judge_turns(self._judge, turns), strict=True)
        ]

    def _seen(self, message: Message) -> bool:
        told = f"{message.conversation_id}\0{message.message_id}".encode("utf-8", "surrogatepass")
        key = int.from_bytes(blake2b(told, digest_size=8).digest())
        seen = key in self._recent or key in self._before_those
        self._recent.add(key)
        if len(self._recent) >= REMEMBERED_IDS:
            self._recent, self._before_those = set(), self._recent
        return seen
