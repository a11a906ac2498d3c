"""What a model is measured on does not nearly stand in what it learnt from."""

from feedback.corpus.near_duplicates import LEAST_SIMILARITY, NearDuplicates, shingles, similarity
from feedback.corpus.seed import read_corpus
from feedback.dataset import build_snapshot
from rules.loader import load_pack


def test_other_marks_and_one_other_word_are_nearly_the_same() -> None:
    known = NearDuplicates(["这只基金您放一百个心，年底肯定回到一块五以上"])
    assert known.has("这只基金您放一百个心！年底肯定回到一块五以上。")
    assert known.has("这只基金您放一百个心,年底肯定回到一块六以上")
    assert not known.has("这只基金年底的净值谁也说不准，您先看看回撤")


def test_short_answers_are_no_duplicates() -> None:
    assert not NearDuplicates(["没问题的姐"]).has("没问题的姐")


def test_the_parts_of_the_corpus_do_not_leak_into_each_other() -> None:
    """Checked pair by pair, without the index that the split itself uses."""
    snapshot = build_snapshot(read_corpus(), [], list(load_pack().catalogue.labels))
    parts = [
        [found for row in part if row.labels and (found := shingles(row.turn.message.text))]
        for part in (snapshot.train, snapshot.dev, snapshot.test)
    ]
    pairs = [
        (one, other)
        for learnt, measured in ((parts[0], parts[1]), (parts[0], parts[2]), (parts[1], parts[2]))
        for one in learnt
        for other in measured
        # Sets of more unlike sizes cannot be so similar.
        if min(len(one), len(other)) >= LEAST_SIMILARITY * max(len(one), len(other))
        and similarity(one, other) >= LEAST_SIMILARITY
    ]
    assert not pairs
    ids = [
        {row.turn.message.conversation_id for row in part}
        for part in (snapshot.train, snapshot.dev, snapshot.test)
    ]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]
