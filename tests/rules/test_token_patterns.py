"""Token patterns: the cheap question before spaCy never loses a match, and spaCy comes alone."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.matcher import Matcher

from rules.importing import withholding
from rules.model import TokenPattern
from rules.token_patterns import TokenMatcher

OTHER = {"IS_ALPHA": False, "IS_DIGIT": False, "IS_PUNCT": False, "IS_SPACE": False}
NOT_A_LETTER = {"IS_ALPHA": False}
PATTERNS: list[list[Mapping[str, Any]]] = [
    [{"TEXT": "保"}, {**OTHER, "OP": "{1,3}"}, {"TEXT": "本"}],
    [{"TEXT": "预"}, {**OTHER, "OP": "{,2}"}, {"TEXT": {"IN": ["期", "本"]}}, {"TEXT": "率", "OP": "?"}],
    [{"TEXT": "保"}, {**NOT_A_LETTER, "OP": "+"}, {"TEXT": {"IN": ["本", "期"]}}],
    [{"TEXT": "保"}, {"OP": "*"}, {"TEXT": "本"}],
    [{"TEXT": "保"}, {"IS_PUNCT": True, "OP": "{2}"}, {"TEXT": "本"}],
    [{"TEXT": "保"}, {"TEXT": "预", "OP": "!"}, {"TEXT": "本"}],
    [{"TEXT": "保", "OP": "{1,}"}, {"IS_SPACE": True, "OP": "?"}, {"LOWER": "a"}],
]
NLP = spacy.blank("zh")
TEXTS = st.text(st.sampled_from("保本预期率a7 \n\u3000\u1680\x1c\x85❤*,²。"), max_size=12)


def expected_spans(tokens: list[Mapping[str, Any]]) -> Callable[[str], list[tuple[int, int]]]:
    """What spaCy itself finds."""
    matcher = Matcher(NLP.vocab)
    matcher.add("pattern", [[dict(token) for token in tokens]], greedy="LONGEST")
    return lambda text: [
        (span.start_char, span.end_char) for span in matcher(NLP.make_doc(text), as_spans=True)
    ]


TOKENS = TokenMatcher("zh")
CASES = [
    (TokenPattern(tuple(tokens), (str(tokens[0]["TEXT"]),)), expected_spans(tokens)) for tokens in PATTERNS
]


@given(st.sampled_from(CASES), TEXTS)
def test_no_match_is_lost_before_spacy_is_asked(
    case: tuple[TokenPattern, Callable[[str], list[tuple[int, int]]]], text: str
) -> None:
    pattern, expected = case
    assert expected(text) == list(TOKENS.spans(pattern, text))


def test_a_count_that_no_expression_can_hold_is_left_to_spacy() -> None:
    pattern = TokenPattern(({"TEXT": "保"}, {"OP": "{0,2000}"}, {"TEXT": "本"}), ("保",))
    assert TokenMatcher("zh").may_match(pattern, "本保")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("保❤本", True), ("保 * * 本", True), ("保险人有本账", False), ("保7本", False), ("保❤❤❤❤本", False)],
)
def test_only_near_matches_cost_anything(text: str, expected: bool) -> None:
    assert expected is TokenMatcher("zh").may_match(TokenPattern(tuple(PATTERNS[0]), ("保",)), text)


def test_words_of_other_languages_may_stand_anywhere() -> None:
    """Their tokens are words, so that the distance in characters says nothing."""
    pattern = TokenPattern(({"TEXT": "risk"}, {"IS_ALPHA": True}, {"TEXT": "free"}), ("risk",))
    assert [(0, 20)] == list(TokenMatcher("en").spans(pattern, "risk absolutely free"))


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_engine_is_made_without_spacy_and_spacy_comes_without_its_neural_libraries() -> None:
    heavy = "[name for name in ('torch', 'cupy', 'tensorflow', 'mxnet') if name in sys.modules]"
    program = f"""
import sys
from rules.engine import Engine
from rules.loader import load_pack
from rules.model import Line, Scene
engine = Engine(load_pack())
assert not [name for name in ('spacy', 'pypinyin') if name in sys.modules]
hits = engine.hits(Scene(Line('advisor', '这款保❤本的')))
assert 'spacy' in sys.modules
print([hit.rule.id for hit in hits if 'spelt' in hit.rule.id], {heavy})
"""
    assert "['principal-protection-spelt-in-disguise'] []" == run(program)


def test_spacy_can_be_loaded_before_a_text_needs_it() -> None:
    program = """
import sys
from rules.engine import Engine
from rules.loader import builtin_pack_path, load_pack
Engine(load_pack(builtin_pack_path('en'))).warm_up()
print('spacy' in sys.modules)  # no rule of this pack has token patterns
Engine(load_pack()).warm_up()
print('spacy' in sys.modules)
"""
    assert "False\nTrue" == run(program)


def test_a_withheld_module_is_missing_only_within() -> None:
    program = """
import sys
from threading import Thread
from rules.importing import withholding
found = []
with withholding('colorsys', 'json'):
    import json  # loaded already
    try:
        import colorsys
    except ImportError as error:
        found.append(error.name)
    other = Thread(target=lambda: found.append(__import__('colorsys').__name__))
    other.start()
    other.join()
del sys.modules['colorsys']
import colorsys
print(found)
"""
    assert "['colorsys', 'colorsys']" == run("import json\n" + program)


def test_withholding_leaves_no_trace_after_an_error() -> None:
    before = list(sys.meta_path)
    with pytest.raises(KeyError), withholding("colorsys"):
        raise KeyError
    assert before == sys.meta_path
