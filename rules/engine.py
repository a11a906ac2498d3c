"""The rule engine: a scene in, hits with spans in the original text out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rules.continuation import continued
from rules.disguise.reader import Reader
from rules.disguise.reading import Reading
from rules.disguise.vocabulary import vocabulary_of
from rules.errors import RuleTimeout
from rules.guarding import guard_words, overlap
from rules.model import Line, Pack, Rule, Scene
from rules.prefilter import Prefilter
from rules.searching import Span, Subject, compiler
from rules.text import NormalisedText, normalise
from rules.token_patterns import TokenMatcher

# Past this a message is no chat; a person reads it.
MOST_MATCHES = 400
REMEMBERED_QUESTIONS = 16_384


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A match that does not count, and why: a guard's name, `unless`, or `context`."""

    rule: Rule
    span: Span
    by: str
    because: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched. `spans` are code-point offsets into the original text."""

    rule: Rule
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """
    Everything the engine saw in one scene: what counts, and what was cancelled by what.

    `readings` are the texts in which disguised words are replaced, besides `text` itself.
    """

    text: NormalisedText
    hits: tuple[Hit, ...]
    cancelled: tuple[Cancelled, ...]
    readings: tuple[Reading, ...] = ()


class _Notes:
    """What was found so far, in all readings of one message. `asked`: rules that the last so many questions ask for."""

    def __init__(self, text: str, *, fully: bool) -> None:
        self.fully = fully
        self.compile = compiler(text)
        self.asked: dict[int, frozenset[str]] = {}
        self.cancelled: list[Cancelled] = []
        self._found: dict[str, tuple[Rule, list[Span]]] = {}
        self._matches = 0

    def count_match(self) -> None:
        """Raises RuleTimeout past the limit of matches."""
        self._matches += 1
        if self._matches > MOST_MATCHES:
            raise RuleTimeout(f"more than {MOST_MATCHES} matches in one message; a person has to read it")

    def add_hit(self, rule: Rule, span: Span) -> None:
        """A match that counts."""
        self._found.setdefault(rule.id, (rule, []))[1].append(span)

    def hits(self) -> tuple[Hit, ...]:
        """One hit per rule, by its id."""
        return tuple(Hit(rule, _merge(spans)) for _, (rule, spans) in sorted(self._found.items()))


class Engine:
    """
    Matches every live and shadow rule of a pack.

    One pass over the normalised text finds the patterns whose words occur; only those run, by RE2, in
    time linear in the text. A match
    counts unless a guard or the rule's `unless` cancels it, and, for rules with a
    context, only where the customer asked.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._tokens = TokenMatcher(pack.catalogue.language)
        self._rules = [rule for rule in pack.rules if rule.runs_under(pack.catalogue.forecasts)]
        self._owners: list[tuple[Rule, str]] = []
        self._asked = {rule.id: rule.asked for rule in self._rules if rule.asked is not None}
        self._with_tokens = [rule for rule in self._rules if rule.hits.tokens]
        for rule in self._rules:
            self._owners.extend((rule, expression) for expression in rule.hits.expressions)
        self._prefilter = Prefilter([expression for _, expression in self._owners])
        self._questions = sorted({one for asked in self._asked.values() for one in asked.expressions})
        self._question_prefilter = Prefilter(self._questions)
        self._secondary = _secondary_expressions(pack, self._rules)
        self._secondary_prefilter = Prefilter(self._secondary, slices=True)
        self._words = vocabulary_of((expression for _, expression in self._owners), pack.hidden_words)
        self._reader = Reader(self._words) if pack.catalogue.language == "zh" else None
        self._asks = lru_cache(maxsize=REMEMBERED_QUESTIONS)(self._rules_asked_for)

    def warm_up(self) -> None:
        """Load now what a text would otherwise wait for, most of a second; from any thread, and at no cost again."""
        if any(matchers.tokens for rule in self._rules for matchers in (rule.hits, rule.asked) if matchers):
            self._tokens.load()

    def hits(self, scene: Scene) -> tuple[Hit, ...]:
        """The rules that this message breaks."""
        return self._examine(scene, fully=False).hits

    def examine(self, scene: Scene) -> Examination:
        """The same with everything that was cancelled, for explanations."""
        return self._examine(scene, fully=True)

    def _examine(self, scene: Scene, *, fully: bool) -> Examination:
        text = normalise(scene.line.text)
        notes = _Notes(text.text, fully=fully)
        self._judge(text, scene, notes)
        readings = self._reader.readings(text) if self._reader is not None else []
        for reading in readings:
            self._judge(reading.text, scene, notes, only=reading.changed)
        longer = continued(scene, text.text, self._words)
        if longer is not None:
            self._judge(longer.text, scene, notes, seam=longer.seam)
        return Examination(text, notes.hits(), tuple(notes.cancelled), tuple(readings))

    def _judge(
        self,
        text: NormalisedText,
        scene: Scene,
        notes: "_Notes",
        *,
        only: Sequence[Span] | None = None,
        seam: int = 0,
    ) -> None:
        """
        Note every match in one reading; with `only`, those that touch one of these spans.

        With a `seam`, the text begins with so many characters of the message before:
        those that begin there and end after it.
        """
        subject = Subject(text.text, self._tokens, self._possible, notes.compile)
        for rule, (start, end), exceptions in self._matches(subject, scene, notes):
            if only is not None and not any(overlap((start, end), changed) for changed in only):
                continue
            original = text.original_span(start, end)
            if seam and not original[0] < seam < original[1]:
                continue
            original = (max(original[0] - seam, 0), original[1] - seam)
            notes.count_match()
            reason = self._cancelled_by(rule, (start, end), exceptions, subject, scene, notes)
            if reason is None:
                notes.add_hit(rule, original)
            else:
                notes.cancelled.append(Cancelled(rule, original, *reason))

    def _matches(
        self, subject: Subject, scene: Scene, notes: _Notes
    ) -> Iterator[tuple[Rule, Span, Sequence[str]]]:
        if not subject.text:
            return
        for index in self._prefilter.candidates(subject.text):
            rule, expression = self._owners[index]
            if rule.asked is not None and not notes.fully and not self._was_asked(rule, scene, notes):
                continue
            if rule.applies(scene):
                exceptions = rule.hits.exceptions.get(expression, ())
                for span in subject.everywhere(expression):
                    yield rule, span, exceptions
        for rule in self._with_tokens:
            for pattern in rule.hits.tokens:
                if self._tokens.may_match(pattern, subject.text) and rule.applies(scene):
                    for span in self._tokens.spans(pattern, subject.text):
                        yield rule, span, ()

    def _cancelled_by(
        self,
        rule: Rule,
        span: Span,
        exceptions: Sequence[str],
        subject: Subject,
        scene: Scene,
        notes: _Notes,
    ) -> tuple[str, str] | None:
        if rule.asked is not None and not self._was_asked(rule, scene, notes):
            return "context", "the customer did not ask for it"
        for guard_name in rule.guards:
            guard = self.pack.guards[guard_name]
            words = guard_words(guard, span, subject) if guard.applies(scene) else None
            if words is not None:
                return guard_name, words
        for start, end in subject.all_of(rule.unless):
            if overlap((start, end), span):
                return "unless", subject.text[start:end]
        for expression in exceptions:
            for start, end in subject.inside(expression, (0, len(subject.text))):
                if overlap((start, end), span):
                    return "unless", subject.text[start:end]
        return None

    def _possible(self, text: str) -> set[str]:
        return {self._secondary[number] for number in self._secondary_prefilter.candidates(text)}

    def _was_asked(self, rule: Rule, scene: Scene, notes: _Notes) -> bool:
        if not scene.before or (rule.asked_directly and scene.before[-1].speaker != "customer"):
            return False
        asked = notes.asked.get(rule.asked_within)
        if asked is None:
            questions = _last_customer_lines(scene.before, rule.asked_within)
            asked = frozenset().union(*(self._asks(line.text) for line in questions))
            notes.asked[rule.asked_within] = asked
        return rule.id in asked

    def _rules_asked_for(self, text: str) -> frozenset[str]:
        """The rules for which a customer's line is the question; worked out once for all of them."""
        subject = Subject(normalise(text).text, self._tokens, self._possible_questions)
        return frozenset(rule_id for rule_id, asked in self._asked.items() if subject.all_of(asked))

    def _possible_questions(self, text: str) -> set[str]:
        return {self._questions[number] for number in self._question_prefilter.candidates(text)}


def _secondary_expressions(pack: Pack, rules: Sequence[Rule]) -> list[str]:
    """What is searched only where a rule matched: guards and exceptions."""
    found: set[str] = set()
    for guard in pack.guards.values():
        parts = (guard.before, guard.after, guard.sentence, guard.around, guard.never)
        found.update(part for part in parts if part is not None)
    for rule in rules:
        found.update(rule.unless.expressions)
        found.update(expression for own in rule.hits.exceptions.values() for expression in own)
    return sorted(found)


def _last_customer_lines(before: Sequence[Line], count: int) -> list[Line]:
    return [line for line in before if line.speaker == "customer"][-count:]


def _merge(spans: list[Span]) -> tuple[Span, ...]:
    """Overlapping spans become one, in text order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
