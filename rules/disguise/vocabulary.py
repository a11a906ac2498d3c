"""The words of a pack that somebody may want to hide, findable by how they sound and look."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import add

from rules.disguise.common_words import common_words, everyday_characters
from rules.disguise.shapes import DEAD_VARIANTS, LOOKALIKES, SPLITS
from rules.disguise.sounds import HEADS, NOT_A_SOUND, SOUNDS
from rules.needed_words import needs_of, written_words
from rules.prefilter import most_telling

SHORTEST, LONGEST = 2, 5
MOST_PER_KEY = 6
# A dictionary word less frequent than this is read also as the hidden word that it sounds like: in a place where
# a rule hits, that was misheard. Everyday words (饭店 for 返点) are only beside a figure or another hidden word.
RARE_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """
    `words` are all words of the rules, `hidden` those that people write with characters of the same
    sound or shape, `telling` those that some rule cannot do without.

    The pairs are two neighbours: by their sounds in any word and in telling ones, as characters that
    sound like a hidden word's and are no ordinary pair, as characters in any
    word, and as characters of which one was swapped for one that looks like it, doubled or
    taken apart, with what is meant. A text without any of them hides nothing by sound or by shape.
    `word_pairs` are everyday words of two characters, `mistaken` those that sound like
    a hidden word, and `rare` those of them that are not frequent enough to be meant as they stand.
    """

    words: frozenset[str]
    hidden: frozenset[str]
    telling: frozenset[str]
    by_sound: Mapping[tuple[str, ...], tuple[str, ...]]
    by_initials: Mapping[str, tuple[str, ...]]
    pairs_by_sound: frozenset[str]
    telling_by_sound: frozenset[str]
    sound_pairs: frozenset[str]
    plain_pairs: frozenset[str]
    word_pairs: frozenset[str]
    odd_pairs: Mapping[str, tuple[str, ...]]
    mistaken: Mapping[str, str]
    rare: frozenset[str]

    @classmethod
    def of(cls, words: Iterable[str], hidden: Iterable[str], telling: Iterable[str]) -> "Vocabulary":
        """Index the Chinese words of usable length; hidden words come first where several sound alike."""
        concealed = frozenset(filter(_is_usable, hidden))
        common = common_words()
        usable = concealed | _without_spellings(set(filter(_is_usable, words)), concealed)
        kept = sorted(usable, key=lambda word: (word not in concealed, word not in common, word))
        by_sound: dict[tuple[str, ...], list[str]] = {}
        by_initials: dict[str, list[str]] = {}
        for word in kept:
            key = sound_key(word)
            by_sound.setdefault(key, []).append(word)
            by_initials.setdefault("".join(sound[0] for sound in key), []).append(word)
        plain_pairs = _all_pairs(usable)
        hidden_pairs = _all_pairs(concealed)
        word_pairs = frozenset(word for word in common if len(word) == SHORTEST)
        mistaken = _mistaken(common, [word for word in kept if word in concealed], hidden_pairs)
        return cls(
            words=frozenset(usable),
            hidden=concealed,
            telling=usable.intersection(telling),
            by_sound={key: tuple(found[:MOST_PER_KEY]) for key, found in by_sound.items()},
            by_initials={key: tuple(found) for key, found in by_initials.items()},
            pairs_by_sound=_by_sound(plain_pairs),
            telling_by_sound=_by_sound(hidden_pairs | _all_pairs(usable.intersection(telling))),
            sound_pairs=_heard_pairs(concealed, word_pairs | plain_pairs) | mistaken.keys(),
            plain_pairs=frozenset(plain_pairs),
            word_pairs=word_pairs,
            odd_pairs={
                odd: tuple(sorted(meant))
                for odd, meant in _odd_pairs(hidden_pairs).items()
                if odd not in plain_pairs and odd not in word_pairs
            },
            mistaken=mistaken,
            rare=frozenset(word for word in word_pairs if common[word] < RARE_COUNT),
        )


def vocabulary_of(expressions: Iterable[str], hidden: Iterable[str]) -> Vocabulary:
    """The words that stand in expressions, and those that people are known to hide."""
    words: set[str] = set()
    telling: set[str] = set()
    for expression in expressions:
        words |= written_words(expression)
        for way in needs_of(expression) or ():
            for needed in most_telling(way.groups)[:1]:
                telling |= needed
    return Vocabulary.of(words, hidden, telling)


def _without_spellings(words: set[str], hidden: frozenset[str]) -> set[str]:
    """Without disguised spellings that rules list themselves (堡本, 保夲): they are nobody's plain words."""
    sounds = {sound_key(word) for word in hidden if len(word) == SHORTEST}
    common = common_words()
    spellings = {
        pair
        for pair in _all_pairs(words)
        if pair not in hidden
        and pair not in common
        and (sound_key(pair) in sounds or not DEAD_VARIANTS.keys().isdisjoint(pair))
    }
    return {word for word in words if spellings.isdisjoint(_pairs(word))}


def _is_usable(word: str) -> bool:
    return SHORTEST <= len(word) <= LONGEST and all(SOUNDS[char] != NOT_A_SOUND for char in word)


def _heard_pairs(words: frozenset[str], ordinary: frozenset[str]) -> frozenset[str]:
    """Two characters, everyday ones or of the words, that sound like two neighbours of a word and are no ordinary pair."""
    alike: dict[str, list[str]] = {}
    for char in sorted(everyday_characters().union(*words)):
        alike.setdefault(SOUNDS[char], []).append(char)
    sounds = {pair for word in words for pair in pairwise(sound_key(word))}
    return frozenset(
        left + right
        for first, second in sounds
        for left in alike.get(first, ())
        for right in alike.get(second, ())
        if left + right not in ordinary
    )


def _by_sound(pairs: Iterable[str]) -> frozenset[str]:
    return frozenset(HEADS[pair[0]] + SOUNDS[pair[1]] for pair in pairs)


def _pairs(word: str) -> Iterator[str]:
    return map(add, word, word[1:])


def _all_pairs(words: Iterable[str]) -> set[str]:
    return set(chain.from_iterable(map(_pairs, words)))


def sound_key(word: str) -> tuple[str, ...]:
    """Loose syllables of a word."""
    return tuple(map(SOUNDS.__getitem__, word))


def _mistaken(common: Iterable[str], hidden: Iterable[str], own: Collection[str]) -> dict[str, str]:
    """Common words of two characters that sound like a hidden one, with the first such; without the pairs of their own."""
    meant: dict[tuple[str, ...], str] = {}
    for word in hidden:
        if len(word) == SHORTEST:
            meant.setdefault(sound_key(word), word)
    first_sounds = {first for first, _ in meant}
    found = {}
    for word in common:
        # Few pass the first question, and only their second character is looked at.
        if len(word) == SHORTEST and SOUNDS[word[0]] in first_sounds and word not in own:
            hidden_word = meant.get(sound_key(word))
            if hidden_word is not None:
                found[word] = hidden_word
    return found


def _odd_pairs(pairs: set[str]) -> dict[str, set[str]]:
    """
    What two neighbours of a hidden word become by shape, with the neighbours that are meant.

    Of a doubled character and of one taken apart, the character is named.
    """
    shown_as: dict[str, list[str]] = {}
    for shown, meant in LOOKALIKES.items():
        for char in meant:
            shown_as.setdefault(char, []).append(shown)
    taken_apart = {char: parts for parts, char in SPLITS.items()}
    found: dict[str, set[str]] = {}
    for pair in pairs:
        left, right = pair[0], pair[1]
        for odd in (
            *(shown + right for shown in shown_as.get(left, ())),
            *(left + shown for shown in shown_as.get(right, ())),
        ):
            found.setdefault(odd, set()).add(pair)
        for char in pair:
            found.setdefault(char + char, set()).add(char)
            if char in taken_apart:
                found.setdefault(taken_apart[char], set()).add(char)
    return found
