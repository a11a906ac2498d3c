"""How far a file was sent: it goes on where it stopped, and never behind what was not confirmed."""

from pathlib import Path

import pytest

from streams.send_progress import SendProgress


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    path.write_text("one\ntwo\n", encoding="utf-8")
    return path


def progress(file: Path, target: str = "broker") -> SendProgress:
    return SendProgress(file.parent / "send", file, target)


def test_a_new_file_starts_at_its_beginning(file: Path) -> None:
    assert 0 == progress(file).resume()


def test_a_run_that_was_cut_short_goes_on(file: Path) -> None:
    progress(file).reached(7)
    assert 7 == progress(file).resume()
    assert 0 == progress(file, "another broker").resume()


def test_a_file_that_was_sent_whole_is_sent_again(file: Path) -> None:
    sent = progress(file)
    sent.reached(7)
    sent.finish()
    assert 0 == progress(file).resume()


def test_a_file_that_grew_is_sent_from_where_it_ended(file: Path) -> None:
    sent = progress(file)
    sent.reached(2)
    sent.finish()
    with file.open("a") as more:
        more.write("three\n")
    again = progress(file)
    assert 2 == again.resume()
    again.finish()
    assert 0 == progress(file).resume()


@pytest.mark.parametrize("content", ["other\nwords\n", "one\n"], ids=["another begin", "shorter"])
def test_another_file_under_the_same_name_starts_over(file: Path, content: str) -> None:
    progress(file).reached(2)
    file.write_text(content, encoding="utf-8")
    assert 0 == progress(file).resume()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"mark": 5, "records": 1, "finished": false}'])
def test_a_damaged_note_starts_over(file: Path, content: bytes) -> None:
    progress(file).reached(2)
    for note in (file.parent / "send").iterdir():
        note.write_bytes(content)
    assert 0 == progress(file).resume()
