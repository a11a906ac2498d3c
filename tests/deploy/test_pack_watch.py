"""Hot reload: a changed pack is taken up whole and proven by the verdicts; a broken one is refused, loudly."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from deploy.desk import FollowingDesk
from deploy.pack_watch import PackWatch, load_checked
from deploy.settings import Settings
from deploy.wiring import ReloadingJudge
from feedback.catalogue_view import CatalogueView
from rules.errors import PackError
from rules.lock import LOCK_FILE
from tests.deploy.conftest import SMALL_PACK_RULE
from tests.detectors.samples import turn

RULE = f"rules/{SMALL_PACK_RULE}.yaml"


@pytest.fixture
def pack(small_pack: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_pack, tmp_path / "pack"))


def change(pack: Path, edit: Callable[[str], str], file: str = RULE) -> None:
    (pack / file).write_text(edit((pack / file).read_text("utf-8")), "utf-8")


def with_term(text: str) -> str:
    """A new way to match, under a new version."""
    older = re.sub(r"^version: .*\n", "", text, count=1, flags=re.MULTILINE)
    return older.replace("any:\n", "version: 99\nany:\n  - term: 一分不亏\n", 1)


def unlocked(pack: Path) -> Path:
    (pack / LOCK_FILE).unlink()
    return pack


def settled(watch: PackWatch) -> bool:
    """The look that may take up a change: the second one that sees the same files."""
    watch.look()
    return watch.look()


def test_a_pack_that_did_not_change_stays(pack: Path) -> None:
    watch = PackWatch(pack, load_checked(pack))
    before = watch.pack
    assert not settled(watch)
    assert before is watch.pack


def test_a_change_is_taken_up_once_the_files_rest(pack: Path) -> None:
    watch = PackWatch(pack, load_checked(unlocked(pack)))
    before = watch.pack.hash
    change(pack, with_term)
    assert not watch.look()
    assert watch.look()
    assert before != watch.pack.hash
    assert load_checked(pack).hash == watch.pack.hash
    assert not settled(watch)


def broken(text: str) -> str:
    return text.replace("label: ", "lable: ", 1)


def hits_what_it_must_allow(text: str) -> str:
    return text.replace("any:\n", "any:\n  - term: 产品不匹配\n", 1)


@pytest.mark.parametrize(
    ("edit", "words"),
    [(broken, "unknown key 'lable'"), (hits_what_it_must_allow, "is hit, but must be allowed")],
)
def test_a_broken_pack_is_refused_and_the_old_one_stays(
    pack: Path, edit: Callable[[str], str], words: str
) -> None:
    watch = PackWatch(pack, load_checked(unlocked(pack)))
    before = watch.pack
    change(pack, edit)
    with capture_logs() as logs:
        assert not settled(watch)
        assert not settled(watch)
    assert before is watch.pack
    (told,) = [entry for entry in logs if entry["event"] == "pack_refused"]
    assert ("error", before.hash) == (told["log_level"], told["kept"])
    assert any(words in problem for problem in told["problems"])


def test_a_mended_pack_is_taken_up(pack: Path) -> None:
    watch = PackWatch(pack, load_checked(unlocked(pack)))
    change(pack, broken)
    settled(watch)
    change(pack, lambda text: with_term(text.replace("lable: ", "label: ", 1)))
    assert settled(watch)


def test_a_content_that_changed_under_its_old_version_is_refused(pack: Path) -> None:
    watch = PackWatch(pack, load_checked(pack))
    change(pack, lambda text: text.replace("any:\n", "any:\n  - term: 一分不亏\n", 1))
    assert not settled(watch)
    with pytest.raises(PackError, match=r"the content changed, but version \d+ is still the same"):
        load_checked(pack)


def test_a_folder_that_vanished_leaves_the_old_pack(pack: Path) -> None:
    watch = PackWatch(pack, load_checked(pack))
    shutil.rmtree(pack)
    assert not settled(watch)


def test_every_verdict_names_the_pack_that_really_judged_it(pack: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", pack=unlocked(pack), use_model=False)
    judge = ReloadingJudge(settings)
    asked = [turn("这只一分不亏")]
    (before,) = judge.judge(asked)
    change(pack, with_term)
    with capture_logs() as logs:
        for _ in range(2):
            judge.follow()
        (after,) = judge.judge(asked)
    assert (False, True) == (before.flagged, after.flagged)
    assert before.versions.pack != after.versions.pack == judge.versions.pack == load_checked(pack).hash
    (told,) = [entry for entry in logs if entry["event"] == "pack_swapped"]
    assert (before.versions.pack, after.versions.pack) == (told["before"], told["after"])


def test_the_desk_shows_the_catalogue_of_the_new_pack(pack: Path) -> None:
    built: list[CatalogueView] = []

    def build(catalogue: CatalogueView) -> Any:
        built.append(catalogue)
        return None

    desk = FollowingDesk(PackWatch(pack, load_checked(unlocked(pack))), build)
    change(pack, lambda text: text.replace("业绩保证", "保证收益"), "catalogue.yaml")
    desk.follow()
    desk.follow()
    assert ["业绩保证", "保证收益"] == [view.label("guaranteed_return").name for view in built]
