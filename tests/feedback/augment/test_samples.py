"""The list of samples: every one with its source and parent, and no customer's words."""

from dataclasses import replace
from pathlib import Path

import orjson

from feedback.augment.expand import counted, expanded
from feedback.augment.samples import write_samples
from feedback.augment.sources import sources
from feedback.corpus.seed import read_corpus
from feedback.training.examples import judged

ROWS = [row for row in judged(read_corpus()) if row.group == "w01"]


def test_every_sample_is_listed_once_beside_what_it_was_made_of(tmp_path: Path) -> None:
    made = expanded(ROWS, list(sources()), share=0.5, seed=1)
    write_samples(tmp_path / "samples.jsonl", [*made, *made[:5]], ROWS)
    lines = [orjson.loads(line) for line in (tmp_path / "samples.jsonl").read_bytes().splitlines()]
    by_id = {row.turn.message.message_id: row for row in ROWS}
    assert len(made) == len(lines) == sum(counted([*made, *made[:5]]).values())
    for line in lines:
        assert by_id[line["parent"]].turn.message.text == line["parent_text"]
        assert line["source"] in counted(made)
        assert line["text"] != line["parent_text"]
        assert all(line["text"][start:end] for start, end in line["evidence"])
        assert not [tag for tag in line["tags"] if tag.startswith(("parent:", "augment:"))]


def test_of_a_reviewers_case_no_words_are_listed(tmp_path: Path) -> None:
    cases = [replace(row, origin="case") for row in ROWS]
    made = expanded(cases, ["register"], share=1.0, seed=1)
    write_samples(tmp_path / "samples.jsonl", made, cases)
    lines = [orjson.loads(line) for line in (tmp_path / "samples.jsonl").read_bytes().splitlines()]
    assert {(None, None)} == {(line["text"], line["parent_text"]) for line in lines}
    assert {row.turn.message.message_id for row in cases} >= {line["parent"] for line in lines}
