"""How much the rules lose to each kind of disguise."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from rules.attacks.disguising import SPLIT, disguise, split_over_messages
from rules.attacks.kinds import KINDS
from rules.attacks.text import Marked
from rules.engine import Engine
from rules.errors import RuleTimeout
from rules.model import Line, Scene

MOST_MISSES = 20


@dataclass(frozen=True, slots=True)
class Loss:
    """Violations that the rules find plainly, and how many of them a disguise takes away."""

    kind: str
    tried: int
    missed: int
    misses: tuple[str, ...]

    @property
    def recall_lost(self) -> float:
        """Share of the plainly found violations that are missed, 0 to 1."""
        return self.missed / self.tried if self.tried else 0.0


def losses(
    engine: Engine,
    found: Iterable[tuple[Scene, Marked]],
    *,
    kinds: Collection[str],
    words: Collection[str],
    seed: str = "1",
    anywhere: bool = False,
) -> Iterator[Loss]:
    """
    One line per kind, in order. `found` are scenes that the engine hits, with their evidence marked.

    `words` are the watched words that an evader hides; with `anywhere`, he hides other
    characters of the evidence where it has none. A scene to which a kind does not apply (no percentage to write otherwise) is not
    counted. A message that the engine gives up on goes to a person: it is not missed.
    """
    scenes = list(found)
    for kind in [*KINDS, SPLIT]:
        if kind not in kinds:
            continue
        tried = 0
        misses: list[str] = []
        for scene, marked in scenes:
            disguised = _disguised(scene, marked, kind, words, seed, anywhere)
            if disguised is None:
                continue
            tried += 1
            if not _is_seen(engine, disguised):
                misses.append(" | ".join(_said(disguised, scene)))
        yield Loss(kind, tried, len(misses), tuple(misses[:MOST_MISSES]))


def _disguised(
    scene: Scene, marked: Marked, kind: str, words: Collection[str], seed: str, anywhere: bool
) -> Scene | None:
    if kind == SPLIT:
        parts = split_over_messages(marked, words=words, seed=seed, anywhere=anywhere)
        if parts is None:
            return None
        first = Line(scene.line.speaker, parts[0].text)
        return replace(scene, line=replace(scene.line, text=parts[1].text), before=(*scene.before, first))
    other = disguise(marked, [kind], words=words, seed=seed, anywhere=anywhere)
    return None if other is None else replace(scene, line=replace(scene.line, text=other.text))


def _is_seen(engine: Engine, scene: Scene) -> bool:
    """True when the message is hit, or the one before it in which a split phrase begins."""
    try:
        if engine.hits(scene):
            return True
        if not scene.before or scene.before[-1].speaker != scene.line.speaker:
            return False
        return bool(engine.hits(replace(scene, line=scene.before[-1], before=scene.before[:-1])))
    except RuleTimeout:
        return True


def _said(scene: Scene, plain: Scene) -> list[str]:
    """The messages that the disguise changed."""
    added = scene.before[len(plain.before) :]
    return [line.text for line in (*added, scene.line)]
