"""The rule engine beside other ways to look for the same patterns, and by the number of rules."""

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import ahocorasick
import re2

from detectors.domain import Message
from detectors.rule_detector import scene_of
from rules.engine import Engine
from rules.expressions import options
from rules.loader import load_pack, with_rules
from rules.model import Matchers, Pack, Rule
from rules.needed_words import needs_of
from streams.context import MemoryContext
from tests.benchmarks.throughput import Throughput, measure

RULE_COUNTS = (100, 500, 1_000, 5_000)
# A naive loop over a thousand patterns is slow: a share of the messages tells as much.
SHARE_FOR_SLOW_WAYS = 20
# One message in so many is measured; the others warm up.
MEASURED_SHARE = 5
# Copies of a rule say the same in other characters: every character of Chinese moves on by this much.
CHARACTERS_BETWEEN_COPIES = 211
_CHINESE = re.compile("[\u4e00-\u9fa0]")


def ways_to_match(messages: Sequence[Message]) -> Iterator[Throughput]:
    """Every way on the same patterns and messages: what each finds differs, and is said."""
    pack = load_pack()
    expressions = sorted({one for rule in pack.rules for one in rule.hits.expressions})
    known, unseen = _to_warm_up_and_to_measure(messages)
    slow = unseen[::SHARE_FOR_SLOW_WAYS]
    yield _naive(expressions, slow)
    yield _one_by_one(expressions, known[::SHARE_FOR_SLOW_WAYS], slow)
    yield _filtered(expressions, known, unseen)
    yield _words_alone(expressions, unseen)
    hyperscan = _hyperscan(expressions, unseen)
    if hyperscan is not None:
        yield hyperscan
    yield engine_speed(pack, messages, "rule engine", "evidence, guards, context, disguises")


def by_number_of_rules(messages: Sequence[Message]) -> Iterator[Throughput]:
    """The engine with more and more rules, each with words of its own."""
    pack = load_pack()
    for count in RULE_COUNTS:
        larger = with_rules(pack, islice(_endless_rules(pack), count))
        yield engine_speed(larger, messages, f"rule engine, {count:,} rules")


def engine_speed(pack: Pack, messages: Sequence[Message], name: str, note: str = "") -> Throughput:
    """What the firm's side said, judged in context. Other messages first warm up what a worker has warm."""
    engine = Engine(pack)
    context = MemoryContext(in_memory=len(messages) + 1)
    scenes = {id(message): scene_of(context.turn(message)) for message in messages}
    known, unseen = _to_warm_up_and_to_measure(messages)
    for message in known:
        engine.hits(scenes[id(message)])
    patterns = sum(len(rule.hits.expressions) for rule in pack.rules)
    said = f"{patterns:,} patterns" + (f"; {note}" if note else "")
    return measure(name, unseen, lambda message: engine.hits(scenes[id(message)]), said)


def _naive(expressions: Sequence[str], messages: Sequence[Message]) -> Throughput:
    patterns = [re.compile(one) for one in expressions]
    return _searching("loop of compiled `re`", patterns, (), messages, lambda text: text)


def _one_by_one(
    expressions: Sequence[str], known: Sequence[Message], unseen: Sequence[Message]
) -> Throughput:
    patterns = [re2.compile(one, options()) for one in expressions]
    return _searching("loop of RE2", patterns, known, unseen, lambda text: text.encode())


def _searching(
    name: str,
    patterns: Sequence[Any],
    known: Sequence[Message],
    unseen: Sequence[Message],
    prepare: Callable[[str], str | bytes],
) -> Throughput:
    def work(message: Message) -> None:
        text = prepare(message.text)
        for pattern in patterns:
            pattern.search(text)

    for message in known:
        work(message)
    return measure(name, unseen, work, f"{len(patterns):,} patterns on the raw text")


def _filtered(expressions: Sequence[str], known: Sequence[Message], unseen: Sequence[Message]) -> Throughput:
    filtered = re2.Filter()
    for one in expressions:
        filtered.Add(one, options())
    filtered.Compile()
    for message in known:
        filtered.Match(message.text)
    return measure(
        "RE2 with its own filter",
        unseen,
        lambda message: filtered.Match(message.text),
        f"{len(expressions):,} patterns: which match, no evidence",
    )


def _words_alone(expressions: Sequence[str], messages: Sequence[Message]) -> Throughput:
    automaton = ahocorasick.Automaton()
    for one in expressions:
        for way in needs_of(one) or ():
            for words in way.groups:
                for word in words:
                    automaton.add_word(word, word)
    automaton.make_automaton()
    return measure(
        "Aho–Corasick",
        messages,
        lambda message: list(automaton.iter(message.text)),
        f"{len(automaton):,} words of the patterns, no patterns",
    )


def _hyperscan(expressions: Sequence[str], messages: Sequence[Message]) -> Throughput | None:
    """Where it is installed (`pip install hyperscan`, x86 only); it is no dependency."""
    try:
        library: Any = importlib.import_module("hyperscan")
    except ImportError:
        return None
    flags = library.HS_FLAG_UTF8 | library.HS_FLAG_SINGLEMATCH
    taken = [one for one in expressions if _compiles(library, one, flags)]
    database = library.Database()
    database.compile(
        expressions=[one.encode() for one in taken], ids=list(range(len(taken))), flags=[flags] * len(taken)
    )
    found: list[int] = []

    def on_match(number: int, *_: object) -> None:
        found.append(number)

    return measure(
        "Hyperscan",
        messages,
        lambda message: database.scan(message.text.encode(), match_event_handler=on_match),
        f"{len(taken):,} of the patterns: which match, no evidence",
    )


def _compiles(library: Any, expression: str, flags: int) -> bool:
    try:
        library.Database().compile(expressions=[expression.encode()], ids=[0], flags=[flags])
    except library.error:
        return False
    return True


def _to_warm_up_and_to_measure(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """Automata learn the texts that they have seen, so that other texts are measured."""
    measured = max(1, len(messages) // MEASURED_SHARE)
    return messages[:-measured], messages[-measured:]


def _endless_rules(pack: Pack) -> Iterator[Rule]:
    live = [rule for rule in pack.rules if rule.status == "live"]
    copy = 0
    while True:
        for rule in live:
            yield rule if not copy else _in_other_words(rule, copy)
        copy += 1


def _in_other_words(rule: Rule, copy: int) -> Rule:
    shift = copy * CHARACTERS_BETWEEN_COPIES
    size = 0x9FA0 - 0x4E00 + 1

    def moved(match: re.Match[str]) -> str:
        return chr(0x4E00 + (ord(match.group()) - 0x4E00 + shift) % size)

    def rewritten(matchers: Matchers) -> Matchers:
        return Matchers(tuple(_CHINESE.sub(moved, one) for one in matchers.expressions))

    return replace(
        rule,
        id=f"{rule.id}-{copy}",
        hits=rewritten(rule.hits),
        unless=rewritten(rule.unless),
        asked=rewritten(rule.asked) if rule.asked is not None else None,
    )
