"""Case memory: what was decided once is known again, everyday text stays silent, nothing is hidden."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Opinion
from detectors.cascade import Cascade
from detectors.case_file import MOST_CASES, CaseFile, RememberedCase, encode_cases, read_cases, write_cases
from detectors.classifier import OnnxClassifier, Reading
from detectors.domain import Outcome, Speaker, Turn, Verdict
from detectors.errors import CaseMemoryError
from detectors.likeness import SharedPairs
from detectors.memory import CaseMemory, MemoryDetector
from detectors.model_store import builtin_model_path
from detectors.space import EncoderSpace, Floats
from detectors.tokens import Encoded, Tokeniser, Window, windows
from rules.loader import builtin_pack_path, load_pack
from rules.text import normalise
from tests.detectors.samples import AT, VERSIONS, turn

CATALOGUE = load_pack().catalogue
WHEN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SIZE = 512
PITCH = "这只产品跟您放在家里的存折一个样，您只管睡觉"


def place(text: str, context: str) -> Floats:
    """Pairs of characters thrown into a vector: like words, like places."""
    vector = np.zeros(SIZE, dtype=np.float32)
    for share, part in ((1.0, text), (0.5, context)):
        for left, right in pairwise(part):
            vector[(ord(left) * 31 + ord(right)) % SIZE] += share
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


class PlacingClassifier(OnnxClassifier):
    """The shipped model with a space of words, whatever space it was trained with."""

    reads = 0

    def __init__(self, margin: float = 0.02) -> None:
        super().__init__(builtin_model_path())
        everyday = np.stack(
            [place(text, "") for text in ("今天下雨，路上慢点", "好的，明天见", "资料我发您邮箱了")]
        )
        self.space = EncoderSpace(np.zeros(SIZE, dtype=np.float32), everyday, margin)

    def _read(self, turns: Sequence[Turn]) -> list[Reading]:
        self.reads += len(turns)
        return [
            replace(
                reading,
                places=place(item.message.text, "".join(m.text for m in item.before))[None],
            )
            for item, reading in zip(turns, super()._read(turns), strict=True)
        ]


CLASSIFIER = PlacingClassifier()


class Couples:
    """A tokeniser as of other encoders: a token is two characters."""

    classify, separate = 0, 1

    def encode(self, text: str) -> Encoded:
        spans = [(at, min(at + 2, len(text))) for at in range(0, len(text), 2)]
        return Encoded([2] * len(spans), spans)


class WindowPlacingClassifier(PlacingClassifier):
    """Places each window of a message by its own words, whatever tokens it is made of."""

    def __init__(self, vocabulary: Tokeniser | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary or self.vocabulary

    def _read(self, turns: Sequence[Turn]) -> list[Reading]:
        readings = []
        for item in turns:
            text, parts = windows(item, self.vocabulary, self.limits)
            places = np.stack([place(text.text[slice(*stretch(part))], "") for part in parts])
            count = len(self.manifest.labels)
            marks = np.zeros((len(text.text), count), dtype=np.float32)
            readings.append(Reading(text, np.zeros(count, dtype=np.float32), marks, places))
        return readings


def stretch(part: Window) -> tuple[int, int]:
    """The characters of a window's own message."""
    if part.spans is None:
        return part.first, part.first + part.length
    return part.spans[0][0], part.spans[-1][1]


WINDOW_PLACING = {"characters": WindowPlacingClassifier(), "couples": WindowPlacingClassifier(Couples())}
# Each stands for itself, in no order, so that no two windows of such a text are alike.
CHARACTERS = [char for char in map(chr, range(0x6000, 0x7000)) if normalise(char).text == char]
random.Random(1).shuffle(CHARACTERS)


def case(
    text: str, *labels: str, number: int = 1, before: tuple[tuple[Speaker, str], ...] = ()
) -> RememberedCase:
    return RememberedCase(
        case_id=f"case-{number}",
        action="confirmed" if labels else "dismissed",
        labels=labels,
        decided_at=WHEN,
        said=(*before, (Speaker.ADVISOR, text)),
    )


def detector(*cases: RememberedCase) -> MemoryDetector:
    memory = CaseMemory.build(CaseFile("cases-test", cases), CLASSIFIER)
    return MemoryDetector(memory, CLASSIFIER, CATALOGUE)


def test_a_confirmed_case_is_known_again_and_named() -> None:
    (opinion,) = detector(case(PITCH, "implied_guarantee")).detect([turn(PITCH.replace("睡觉", "睡大觉"))])
    (finding,) = opinion.findings
    assert "implied_guarantee" == finding.label
    assert ("memory", "case-1", "cases-test") == (
        finding.sources[0].kind, finding.sources[0].id, finding.sources[0].version,
    )  # fmt: skip
    assert "与案例 case-1 相似" in finding.reason
    assert "2026-03-01" in finding.reason
    assert finding.evidence
    assert 0.8 <= finding.score <= 1


def test_under_the_english_pack_the_memory_speaks_english() -> None:
    catalogue = load_pack(builtin_pack_path("en")).catalogue
    confirmed = case(PITCH, "implied_guarantee")
    memory = CaseMemory.build(CaseFile("cases-test", (confirmed,)), CLASSIFIER)
    (verdict,) = Cascade(
        [MemoryDetector(memory, CLASSIFIER, catalogue)], catalogue, VERSIONS, lambda: AT
    ).judge([turn(PITCH)])
    (finding,) = verdict.findings
    assert (
        'Like case case-1 (similarity 1.00), which a person confirmed as "Implied guarantee" on 2026-03-01. '
        f"Standard: {catalogue.labels['implied_guarantee'].definition}" == finding.reason
    )


def test_the_same_words_are_known_in_another_conversation() -> None:
    memory = detector(case(PITCH, "implied_guarantee", before=((Speaker.CUSTOMER, "这款怎么样呀"),)))
    (opinion,) = memory.detect([turn(PITCH, ("customer", "上周的账单我收到了"), ("advisor", "好的您看一下"))])
    assert ["implied_guarantee"] == [finding.label for finding in opinion.findings]


def test_a_short_answer_is_like_another_only_after_the_like_question() -> None:
    memory = detector(case("没问题", "guaranteed_return", before=((Speaker.CUSTOMER, "六个点能给我保证吗"),)))
    same, other = memory.detect(
        [
            turn("没问题", ("customer", "六个点能给我保证吗")),
            turn("没问题", ("customer", "周三下午三点来网点行不行")),
        ]
    )
    assert same.findings
    assert not other.findings


@pytest.mark.parametrize("text", ["今天下雨，路上慢点", "您好，您的资料收到了", "嗯", ""])
def test_everyday_text_is_silent(text: str) -> None:
    assert [Opinion()] == detector(case(PITCH, "implied_guarantee")).detect([turn(text)])


def test_a_case_that_is_like_everyday_text_reaches_only_its_own_words() -> None:
    """What the reviewer confirmed was all but everyday talk: the memory must not flag everyday talk for it."""
    memory = detector(case("今天下雨，路上慢点哈", "implied_guarantee"))
    known, everyday = memory.detect([turn("今天下雨，路上慢点哈"), turn("今天下雨，路上慢点")])
    assert known.findings
    assert not everyday.findings


def test_customers_are_not_judged() -> None:
    assert [Opinion()] == detector(case(PITCH, "implied_guarantee")).detect([turn(PITCH, speaker="customer")])


def test_a_dismissed_case_marks_and_hides_nothing() -> None:
    (opinion,) = detector(case(PITCH)).detect([turn(PITCH)])
    assert ((), (), "case-1") == (opinion.findings, opinion.uncertain, opinion.dismissed_like)


def test_where_the_dismissed_case_is_nearer_a_person_decides() -> None:
    nearly = PITCH.replace("只管睡觉", "只管睡大觉")
    (opinion,) = detector(case(nearly, "implied_guarantee"), case(PITCH, number=2)).detect([turn(PITCH)])
    assert not opinion.findings
    assert ["implied_guarantee"] == [finding.label for finding in opinion.uncertain]
    assert "case-2" == opinion.dismissed_like


@given(
    st.sampled_from(sorted(WINDOW_PLACING)), st.integers(2, 700), st.floats(0, 1), st.integers(1, 24),
    st.integers(1, 9),
)  # fmt: skip
def test_a_long_case_is_remembered_by_a_window_that_holds_its_evidence(
    tokeniser: str, length: int, share: float, size: int, every: int
) -> None:
    """Evidence no longer than the overlap lies whole in some window; the text has characters that are dropped."""
    classifier = WINDOW_PLACING[tokeniser]
    size = min(size, length - 1)
    start = round(share * (length - size))
    written = [char + "\u200b" * (at % every == 0) for at, char in enumerate(CHARACTERS[:length])]
    evidence = (len("".join(written[:start])), len("".join(written[: start + size])))
    long = case("".join(written), "implied_guarantee").model_copy(update={"evidence": (evidence,)})
    memory = CaseMemory.build(CaseFile("cases-test", (long,)), classifier)
    text, parts = windows(turn(long.said[-1][1]), classifier.vocabulary, classifier.limits)
    holding = [
        place(text.text[first:end], "")
        for first, end in map(stretch, parts)
        if first <= start and start + size <= end
    ]
    assert classifier.space is not None
    assert any(
        np.allclose(memory.known[0].units[1], unit) for unit in classifier.space.units(np.stack(holding))
    )


def test_of_a_long_case_the_violation_is_known_again_and_not_what_stands_around_it() -> None:
    opening, pitch, closing = "".join(CHARACTERS[:61]), "亏了我私人补给您", "".join(CHARACTERS[100:209])
    long = case(opening + pitch + closing, "guaranteed_return").model_copy(update={"evidence": ((61, 69),)})
    classifier = WINDOW_PLACING["characters"]
    memory = MemoryDetector(
        CaseMemory.build(CaseFile("cases-test", (long,)), classifier), classifier, CATALOGUE
    )
    other, more = "".join(CHARACTERS[300:369]), "".join(CHARACTERS[500:561])
    closed_alike, opened_alike = memory.detect(
        [turn(other + closing), turn(opening + pitch + closing[:27] + more)]
    )
    assert not closed_alike.findings
    assert ["guaranteed_return"] == [finding.label for finding in opened_alike.findings]


def test_labels_that_the_catalogue_lost_are_left_out() -> None:
    (opinion,) = detector(case(PITCH, "a_label_of_yesterday", "implied_guarantee")).detect([turn(PITCH)])
    assert ["implied_guarantee"] == [finding.label for finding in opinion.findings]


def test_cases_that_were_there_are_not_read_again() -> None:
    first = CaseMemory.build(CaseFile("one", (case(PITCH, "implied_guarantee"),)), CLASSIFIER)
    before = CLASSIFIER.reads
    both = (case(PITCH, "implied_guarantee"), case("亏了我私人补给您", "guaranteed_return", number=2))
    second = CaseMemory.build(CaseFile("two", both), CLASSIFIER, earlier=first)
    assert 2 == CLASSIFIER.reads - before  # the new case, in its context and alone
    assert 2 == len(second.known)


def test_a_model_without_a_space_is_told() -> None:
    plain = PlacingClassifier()
    plain.space = None
    with pytest.raises(CaseMemoryError, match="train it again"):
        CaseMemory.build(CaseFile("one", ()), plain)


class Says:
    """A detector that finds what it is told."""

    version = "1"

    def __init__(self, name: str, opinion: Opinion) -> None:
        self.name = name
        self._opinion = opinion

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        return [self._opinion] * len(turns)


def verdict(*detectors: Says | MemoryDetector) -> Verdict:
    return Cascade(detectors, CATALOGUE, VERSIONS, lambda: AT).judge([turn(PITCH)])[0]


def test_likeness_to_a_dismissed_case_lowers_the_priority_and_keeps_the_flag() -> None:
    (found,) = detector(case(PITCH, "implied_guarantee")).detect([turn(PITCH)])
    rules = Says("rules", Opinion(found.findings))
    plain = verdict(rules)
    lowered = verdict(rules, detector(case(PITCH)))
    assert (Outcome.FLAGGED, Outcome.FLAGGED) == (plain.outcome, lowered.outcome)
    assert lowered.priority < plain.priority
    assert ("flagged", "like_dismissed") == lowered.queue_reasons


def test_the_silence_of_the_memory_is_no_disagreement() -> None:
    (found,) = detector(case(PITCH, "implied_guarantee")).detect([turn(PITCH)])
    told = verdict(Says("rules", Opinion(found.findings)), Says("memory", Opinion()))
    assert ("flagged",) == told.queue_reasons


def test_what_only_the_memory_finds_is_flagged_with_its_reason() -> None:
    told = verdict(Says("rules", Opinion()), detector(case(PITCH, "implied_guarantee")))
    assert Outcome.FLAGGED is told.outcome
    assert "与案例 case-1 相似" in told.findings[0].reason
    assert CATALOGUE.labels["implied_guarantee"].definition in told.findings[0].reason
    assert "disagreement" in told.queue_reasons


def test_a_memory_that_breaks_degrades_the_verdict() -> None:
    memory = detector(case(PITCH, "implied_guarantee"))
    broken = PlacingClassifier()
    broken.space = EncoderSpace(np.zeros(3, dtype=np.float32), np.zeros((1, 3), dtype=np.float32), 0.0)
    told = verdict(Says("rules", Opinion()), MemoryDetector(memory.memory, broken, CATALOGUE))
    assert (Outcome.UNDECIDED, True) == (told.outcome, told.degraded)


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    cases = (case(PITCH, "implied_guarantee"), case("好的", number=2))
    version = write_cases(tmp_path / "cases.jsonl", cases)
    assert CaseFile(version, cases) == read_cases(tmp_path / "cases.jsonl")
    assert version != write_cases(tmp_path / "cases.jsonl", cases[:1])


def test_desks_that_write_at_the_same_time_leave_a_whole_file(tmp_path: Path) -> None:
    """Threads, because on a shared volume the desks of two pods may have the same process number."""
    path, sizes = tmp_path / "cases.jsonl", (1, 200)
    with ThreadPoolExecutor(len(sizes)) as desks:
        for writing in [desks.submit(write_cases, path, [case(PITCH)] * size) for size in sizes * 40]:
            writing.result()
    assert len(read_cases(path).cases) in sizes
    assert [path] == list(tmp_path.iterdir())


@given(st.binary(max_size=40), st.integers(0, 400))
def test_an_altered_file_is_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("memory") / "cases.jsonl"
    content = encode_cases([case(PITCH, "implied_guarantee")])
    altered = content[:at] + noise + content[at + len(noise) :]
    path.write_bytes(altered)
    if altered == content:
        assert read_cases(path).cases
    else:
        with pytest.raises(CaseMemoryError):
            read_cases(path)


def test_a_file_is_bounded() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode_cases([case(PITCH)] * (MOST_CASES + 1))


def test_texts_that_share_words_are_looked_at_closer() -> None:
    index = SharedPairs(["保本保收益的产品", "今天天气不错", ""])
    assert [0] == index.like("保本保收益哦").tolist()
    assert [] == index.like("吃了吗").tolist()
    assert [] == index.like("").tolist()
