"""`redline eval`: figures on labelled messages that redline has never seen."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from feedback.labelled import LabelledTurn
from tests.deploy.chats import PROMISE, SMALL_TALK, lines, record
from tests.deploy.conftest import Redline
from tests.deploy.leaking_corpus import leaking_corpus

FOUND = "guaranteed_return"


def rows_of(printed: str) -> set[str]:
    """The first word of each line."""
    return {line.split()[0] for line in printed.splitlines() if line.strip()}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Ten conversations: five promises (one of them labelled as none), five compliant."""
    path = tmp_path / "labelled.jsonl"
    path.write_bytes(
        lines(
            record(
                number,
                conversation_id=f"c{number}",
                text=PROMISE if number % 2 else SMALL_TALK,
                labels=[FOUND] if number % 2 and number != 9 else [],
                tags=["blunt" if number % 2 else "hard:other_topic"],
            )
            for number in range(10)
        )
    )
    return path


def test_figures_are_those_of_the_file(redline: Redline, labelled: Path, tmp_path: Path) -> None:
    ended = redline("eval", str(labelled), "--rules-only", "--json", "figures.json")

    assert ended.code == 0
    assert "10 messages, 4 of them violating" in ended.out
    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    score = figures["labelled"]["any_violation"]
    assert 0.8 == score["precision"]["value"]
    assert 1.0 == score["recall"]["value"]
    assert figures["versions"]["model"] is None
    assert 4 == figures["labelled"]["labels"][FOUND]["support"]


def test_bad_lines_and_unknown_labels_are_told_with_their_line(redline: Redline, labelled: Path) -> None:
    with labelled.open("ab") as file:
        file.write(b"{not json\n\n")
        file.write(lines([record(13, labels=["guaranted_return"]), record(14), record(15, labels="x")]))

    ended = redline("eval", str(labelled), "--rules-only")

    assert ended.code == 0
    assert "10 messages" in ended.out
    *complaints, total = ended.err.splitlines()
    assert [11, 12, 13, 14, 15] == [int(text.split("line ")[1].split(":")[0]) for text in complaints]
    assert (
        "field 'labels': not in the catalogue: 'guaranted_return' (did you mean guaranteed_return?)"
        in complaints[2]
    )
    assert "field 'labels': required" in complaints[3]
    assert "5 lines were left out" == total


def test_customers_messages_need_no_labels(redline: Redline, labelled: Path) -> None:
    with labelled.open("ab") as file:
        file.write(lines([record(20, speaker="customer", text="能保证吗")]))

    ended = redline("eval", str(labelled), "--rules-only")

    assert "10 messages, 4 of them violating" in ended.out  # context only: they are never judged


def test_a_repeated_message_counts_once_and_is_told(redline: Redline, labelled: Path) -> None:
    """Twice it would weigh twice; an edit of it is another text and counts."""
    again = [record(2, conversation_id="c2", text=SMALL_TALK, labels=[FOUND])]
    again += [record(3, conversation_id="c3", labels=[FOUND]), record(4, conversation_id="c4", labels=[])]
    with labelled.open("ab") as file:
        file.write(lines(again))

    ended = redline("eval", str(labelled), "--rules-only")

    assert "11 messages, 4 of them violating" in ended.out
    contradicted, same, total = ended.err.splitlines()
    assert contradicted.startswith("redline: line 11: field 'message_id': 'm2' came before")
    assert "other labels" in contradicted
    assert same.startswith("redline: line 12: field 'message_id': 'm3' came before")
    assert "the same labels" in same
    assert "2 lines were left out" == total


def test_target_that_is_a_folder_is_refused_before_anything_is_measured(
    redline: Redline, labelled: Path, tmp_path: Path
) -> None:
    ended = redline("eval", str(labelled), "--rules-only", "--json", str(tmp_path))

    assert (2, "") == (ended.code, ended.out)
    assert f"redline: {tmp_path}: cannot be written: it is a folder" in ended.err


def test_measuring_needs_no_desk() -> None:
    """A scorer is installed without SQLAlchemy and the web."""
    code = (
        "import sys; import deploy.cli.evaluate, deploy.cli.corpus; "
        "print([n for n in ('sqlalchemy', 'fastapi', 'uvicorn', 'torch', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_labelled_messages_may_come_on_standard_input(redline_process: Redline, labelled: Path) -> None:
    ended = redline_process("eval", "-", "--rules-only", stdin=labelled.read_bytes())

    assert ended.code == 0
    assert "10 messages, 4 of them violating" in ended.out


def test_false_flags_on_innocent_dialogues_are_counted(
    redline: Redline, labelled: Path, tmp_path: Path
) -> None:
    everyday = tmp_path / "everyday.jsonl"
    everyday.write_text(
        json.dumps({"turns": [["user", "吃了吗"], ["assistant", "吃了，刚吃的饺子"]]}) + "\n", "utf-8"
    )

    ended = redline("eval", str(labelled), "--rules-only", "--innocent", str(everyday))

    assert "innocent everyday: 0 flagged of 2 = 0.00 [0.00–" in ended.out


def test_how_much_is_found_in_disguise_is_told_by_kind(redline: Redline, tmp_path: Path) -> None:
    start = PROMISE.index("保本")
    (tmp_path / "promises.jsonl").write_bytes(
        lines(
            record(number, conversation_id=f"c{number}", labels=[FOUND], evidence=[[start, start + 2]])
            for number in range(12)
        )
    )

    ended = redline("eval", "promises.jsonl", "--rules-only", "--attack", "--json", "figures.json")

    assert ended.code == 0, ended.err
    assert "in disguise: of 12 violations 12 are flagged as they stand" in ended.out
    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))["attacked"]
    assert 12 == sum(kind["violations"] for kind in figures["kinds"])
    assert figures["found_disguised"] == sum(kind["found_disguised"] for kind in figures["kinds"])
    printed = ended.out.partition("in disguise: ")[2]
    for kind in figures["kinds"]:
        assert kind["recall"]["low"] < 1  # a few messages prove little
        assert kind["kind"] in rows_of(printed)


def test_how_well_the_evidence_fits_is_told(redline: Redline, tmp_path: Path) -> None:
    """The rule marks 保本; people marked it with the word before it."""
    start = PROMISE.index("保本")
    promise = record(labels=[FOUND], evidence=[[start - 1, start + 2]])
    (tmp_path / "promise.jsonl").write_bytes(lines([promise, record(2, text=SMALL_TALK, labels=[])]))

    ended = redline("eval", "promise.jsonl", "--rules-only", "--json", "figures.json")

    assert "evidence of 1 found violations, by characters: precision 1.00" in ended.out
    assert "gold 38%" in ended.out
    overlap = json.loads((tmp_path / "figures.json").read_text("utf-8"))["evidence_overlap"]
    assert (1, 1.0) == (overlap["messages"], overlap["precision"]["value"])
    assert 2 / 3 == pytest.approx(overlap["recall"]["value"])


def test_baselines_learn_from_what_a_model_learns_from(
    redline: Redline, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[LabelledTurn] = []

    def remember(train: Sequence[LabelledTurn], *others: object) -> list[object]:
        learnt.extend(train)
        return []

    rows, leak = leaking_corpus()
    monkeypatch.setattr("deploy.cli.evaluate.read_corpus", lambda: rows)
    monkeypatch.setattr("deploy.cli.evaluate.train_tfidf", remember)

    assert 0 == redline("eval", str(labelled), "--rules-only", "--compare").code

    assert learnt
    assert leak not in learnt


@pytest.mark.training
def test_a_curve_takes_settings_and_tells_at_once_which_do_not_fit(
    redline: Redline, labelled: Path, tmp_path: Path
) -> None:
    (tmp_path / "settings.json").write_text('{"epoch": 1}', "utf-8")
    arguments = ("eval", str(labelled), "--rules-only", "--config", "settings.json")

    alone, misspelt = redline(*arguments), redline(*arguments, "--learning-curve", "base")

    assert (2, "") == (alone.code, alone.out)
    assert "goes with --learning-curve" in alone.err
    assert (1, "") == (misspelt.code, misspelt.out)
    assert "epoch" in misspelt.err


@pytest.mark.training
def test_a_curve_starts_from_what_suits_its_base(tmp_path: Path) -> None:
    """A large encoder is moved gently; a file changes only what it names."""
    from deploy.cli.evaluate_curve import curve_settings
    from feedback.training.hf import HF_SETTINGS
    from feedback.training.settings import FinetuneSettings

    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours, other):
        folder.mkdir()
    (other / "config.json").write_text("{}", "utf-8")
    (tmp_path / "settings.json").write_text('{"epochs": 1}', "utf-8")

    assert FinetuneSettings() == curve_settings(ours, None)
    assert HF_SETTINGS == curve_settings(other, None)
    assert HF_SETTINGS.model_copy(update={"epochs": 1}) == curve_settings(other, tmp_path / "settings.json")


@pytest.mark.training
def test_baselines_are_measured_beside_it_on_the_same_messages(
    redline: Redline, labelled: Path, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "calm.jsonl").write_text(json.dumps({"text": "吃了吗"}) + "\n", "utf-8")
    calls = [
        {"kind": "scam", "turns": [["caller", PROMISE], ["user", "真的吗"]]},
        {"kind": "scam", "turns": [["caller", "您好"], ["user", PROMISE]]},
        {"kind": "other", "turns": [["caller", PROMISE], ["user", "好"]]},
    ]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls), "utf-8")

    ended = redline(
        "eval", str(labelled), "--compare", "--json", "figures.json", "--html", "report.html",
        "--innocent", "one/calm.jsonl", "--innocent", "two/calm.jsonl",
        "--probe", "calls.jsonl", "--probe-where", "kind=scam",
    )  # fmt: skip

    assert ended.code == 0, ended.err
    systems = json.loads((tmp_path / "figures.json").read_text("utf-8"))["systems"]
    assert ["cascade", "rules", "model", "keywords", "tfidf"] == list(systems)
    worth = ended.out.partition("what a flag is worth where so many messages violate")[2]
    for heading in ("precision at 1.0%", "precision at 0.1%", "alerts per true case"):
        assert heading in worth
    assert set(systems) <= rows_of(worth)
    for figures in systems.values():
        assert 10 == figures["labelled"]["messages"]
        assert ["calm", "calm-2"] == [item["name"] for item in figures["innocent"]]
        assert 2 == figures["probes"][0]["calls"]
    assert 1 == systems["rules"]["probes"][0]["flagged"]  # what the victim says does not count
    assert "<svg" in (tmp_path / "report.html").read_text("utf-8")


def test_words_of_the_file_are_printed_as_they_are(redline: Redline, tmp_path: Path) -> None:
    """A tag that looks like markup neither vanishes nor breaks the report."""
    (tmp_path / "odd.jsonl").write_bytes(lines([record(labels=[FOUND], tags=["[/bold]"])]))

    ended = redline("eval", "odd.jsonl", "--rules-only")

    assert ended.code == 0
    assert "[/bold]" in ended.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere.jsonl",), "nowhere.jsonl: cannot be read: No such file"),
        (("empty.jsonl",), "empty.jsonl: has no labelled message to measure on"),
        (("empty.jsonl", "--innocent", "nowhere.gz"), "nowhere.gz: no such file"),
        (("empty.jsonl", "--json", "nowhere/figures.json"), "nowhere/figures.json: cannot be written"),
        (("empty.jsonl", "--html", "nowhere/page.html"), "nowhere/page.html: cannot be written"),
        (("empty.jsonl", "--probe", "nowhere.gz"), "nowhere.gz: no such file"),
        (("empty.jsonl", "--model-only"), "exclude each other"),
    ],
)
def test_what_cannot_be_measured_ends_with_two(
    redline: Redline, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")

    ended = redline("eval", "--rules-only", *arguments)

    assert (2, "") == (ended.code, ended.out)
    assert told in ended.err
