"""Adds new samples to the training part."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from feedback.augment import paraphrase
from feedback.augment.paraphrase import may_be_said_anew
from feedback.augment.rewrite import source_of
from feedback.augment.rewriter import Paraphrase, Rewriter, Say
from feedback.augment.sources import Source, sources
from feedback.labelled import LabelledTurn
from rules.errors import RedlineError

# What makes the samples where a language model cannot.
BACK_OFF = ("slots", "register")


class UnknownSource(RedlineError):
    """A setting names a source of samples that there is not."""


def expanded(
    rows: Sequence[LabelledTurn],
    names: Sequence[str],
    *,
    share: float,
    seed: int,
    rewriter: Rewriter | None = None,
    say: Say = lambda text: None,
) -> list[LabelledTurn]:
    """
    New samples only, without the rows they were made of.

    Each source makes children of about `share` of the violating rows and of as many
    compliant ones. The same rows, names and seed give the same samples, except those of a language
    model; the order of the rows does not matter to any of them. No two samples say the same
    after the same messages. `rewriter` is what `paraphrase` asks; without one it backs off to rules.
    Raises UnknownSource.
    """
    known = _named(names, rewriter, say)
    texts = {row.turn.message.text for row in rows}
    made: list[LabelledTurn] = []
    for name in names:
        fit = [row for row in rows if name != paraphrase.NAME or may_be_said_anew(row)]
        violating = sum(bool(row.labels) for row in fit)
        compliant_share = share * violating / max(1, len(fit) - violating)
        for row in fit:
            dice = random.Random(f"{seed}:{name}:{row.turn.message.message_id}")
            if dice.random() < (share if row.labels else min(share, compliant_share)):
                made += [new for new in known[name].children(row, dice) if new.turn.message.text not in texts]
        source = known[name]
        if isinstance(source, Paraphrase) and source.counts:
            say(source.told())
    return _without_repeats(made)


def check_names(names: Sequence[str]) -> None:
    """Raise UnknownSource where a name is of no source of samples."""
    known = [*sources(), paraphrase.NAME]
    if unknown := [name for name in names if name not in known]:
        raise UnknownSource(f"no source of samples named {', '.join(unknown)}; there are {', '.join(known)}")


def counted(samples: Sequence[LabelledTurn]) -> dict[str, int]:
    """How many samples of each source there are, for the manifest; one that is repeated to weigh more is one."""
    found = {
        (row.turn.message.conversation_id, row.turn.message.message_id): source_of(row) for row in samples
    }
    return dict(sorted(Counter(source for source in found.values() if source is not None).items()))


def _named(names: Sequence[str], rewriter: Rewriter | None, say: Say) -> Mapping[str, Source]:
    check_names(names)
    by_rules = sources()
    if paraphrase.NAME not in names:
        return by_rules
    return {
        **by_rules,
        paraphrase.NAME: Paraphrase(rewriter, [by_rules[name] for name in BACK_OFF], say),
    }


def _without_repeats(samples: Sequence[LabelledTurn]) -> list[LabelledTurn]:
    """Of samples with the same words after the same messages those with the lowest id, whatever order they come in."""
    kept: dict[tuple[str, ...], str] = {}
    for row in samples:
        words, name = _words(row), row.turn.message.message_id
        kept[words] = min(name, kept.get(words, name))
    return [row for row in samples if kept[_words(row)] == row.turn.message.message_id]


def _words(row: LabelledTurn) -> tuple[str, ...]:
    said = (*row.turn.before, row.turn.message)
    return tuple(part for message in said for part in (message.speaker.value, message.text))
