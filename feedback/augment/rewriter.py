"""
Asks a language model to say messages anew.

Only messages of the seed corpus, which are invented, ever go out: never a reviewers' case, never what was
said before a message. Without a model, and from the moment at which it fails, rules make the samples.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import Protocol

from feedback.augment.paraphrase import NAME, RewriteRefused, read, request
from feedback.augment.sources import Source
from feedback.labelled import LabelledTurn
from rules.errors import RedlineError
from streams.errors import EndpointError
from streams.second_opinion import Endpoint

# So many questions in a row without an answer of the agreed form, and the model is asked no more.
MOST_FAILURES = 3
TELL_EVERY = 100

Say = Callable[[str], None]


class RewriterFailed(RedlineError):
    """The model gave no answer. Says what happened, in words without the message."""


class Rewriter(Protocol):
    """Says a message anew, by whatever means."""

    def rewrite(self, row: LabelledTurn, dice: random.Random) -> LabelledTurn:
        """A child of the turn. Raises RewriteRefused when what came is none, and RewriterFailed when nothing came."""


class LlmRewriter:
    """Asks one question at a time over an endpoint, at most so many a minute. For one thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        model: str,
        per_minute: int,
        wait: Callable[[float], object] = sleep,
        time_sec: Callable[[], float] = monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._gap_sec = 60.0 / per_minute
        self._wait = wait
        self._time_sec = time_sec
        self._next_at = time_sec()

    def rewrite(self, row: LabelledTurn, dice: random.Random) -> LabelledTurn:
        """See `Rewriter`. Raises ValueError for a message that must not go out."""
        if row.origin != "seed":
            raise ValueError(f"a message of origin '{row.origin}' is not sent to a language model")
        self._wait(max(0.0, self._next_at - self._time_sec()))
        self._next_at = self._time_sec() + self._gap_sec
        try:
            answer = self._endpoint.complete(request(row, dice, model=self._model))
        except EndpointError as error:
            raise RewriterFailed(str(error)) from None
        return read(row, answer)


class Paraphrase:
    """
    A source: the same message by another speaker, of another product, in another register.

    `counts` has what came of it: `kept`, `failed`, `by rules`, and a reason of RewriteRefused for each
    answer that was refused. What is refused makes no sample. Where there is no model, or it failed
    `MOST_FAILURES` times in a row, the rows get a child of one of `rules` instead, which
    is traced and counted as one of theirs; `say` hears so once. The same dice give the same
    children only as far as the model repeats itself.
    """

    def __init__(self, rewriter: Rewriter | None, rules: Sequence[Source], say: Say) -> None:
        self._rewriter = rewriter
        self._rules = rules
        self._say = say
        self._failures = 0
        self._asked = 0
        self.counts: Counter[str] = Counter()
        if rewriter is None:
            say(f"{NAME}: no language model is set; slots and register make the samples instead")

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """One child; none where the answer is refused, or no rule applies."""
        if self._rewriter is None or row.origin != "seed":
            return self._by_rules(row, dice)
        self._asked += 1
        try:
            made = [self._rewriter.rewrite(row, dice)]
        except RewriteRefused as error:
            self.counts[error.reason] += 1
            if error.reason == "form":
                self._failed("its answers are not of the agreed form")
            else:
                self._failures = 0
            made = []
        except RewriterFailed as error:
            self.counts["failed"] += 1
            self._failed(str(error))
            made = self._by_rules(row, dice)
        else:
            self.counts["kept"] += 1
            self._failures = 0
        if self._asked % TELL_EVERY == 0:
            self._say(self.told())
        return made

    def told(self) -> str:
        """What came of it so far, for people."""
        return f"{NAME}: " + ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._rewriter = None
            self._say(
                f"{NAME}: no use of the language model ({why}); slots and register make the other samples"
            )

    def _by_rules(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        for source in dice.sample(list(self._rules), len(self._rules)):
            if made := source.children(row, dice):
                self.counts["by rules"] += len(made)
                return [_apart(new) for new in made]
        return []


def _apart(row: LabelledTurn) -> LabelledTurn:
    """With an id of its own, beside a child that the same source makes when it is asked for by name."""
    parent, _, made = row.turn.message.message_id.rpartition("~")
    message = replace(row.turn.message, message_id=f"{parent}~{NAME}-{made}")
    return replace(row, turn=replace(row.turn, message=message))
