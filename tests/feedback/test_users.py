"""Reviewers' accounts, on SQLite and PostgreSQL alike."""

from collections.abc import Callable
from datetime import datetime

import pytest

from feedback.errors import InvalidUser, SignInRefused
from feedback.store.audit import list_audit
from feedback.store.desk_store import DeskStore
from feedback.store.users import User, add_user, check_password, display_names, hash_password, sign_in

Clock = Callable[[], datetime]
PASSWORD = "correct horse battery"


def test_a_reviewer_signs_in(store: DeskStore, clock: Clock) -> None:
    add_user(store, "王敏", display_name="王敏（合规部）", password=PASSWORD, at=clock(), actor="admin")
    assert User("王敏", "王敏（合规部）") == sign_in(store, "王敏", PASSWORD, at=clock())
    assert display_names(store) == {"王敏": "王敏（合规部）"}
    assert [entry.action for entry in list_audit(store)] == ["signed_in", "user_added"]


@pytest.mark.parametrize(("name", "password"), [("wang", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_anything_else_is_refused_alike(store: DeskStore, clock: Clock, name: str, password: str) -> None:
    add_user(store, "wang", display_name="王敏", password=PASSWORD, at=clock(), actor="admin")
    with pytest.raises(SignInRefused) as refused:
        sign_in(store, name, password, at=clock())
    assert refused.value.wait_s == 0


def test_a_new_password_replaces_the_old(store: DeskStore, clock: Clock) -> None:
    for password in (PASSWORD, "another long one"):
        add_user(store, "wang", display_name="王敏", password=password, at=clock(), actor="admin")
    sign_in(store, "wang", "another long one", at=clock())
    with pytest.raises(SignInRefused):
        sign_in(store, "wang", PASSWORD, at=clock())


@pytest.mark.parametrize(
    ("name", "password"),
    [("system", PASSWORD), ("", PASSWORD), ("a b", PASSWORD), ("a" * 65, PASSWORD), ("wang", "short")],
)
def test_a_name_or_password_that_cannot_be_used_is_refused(
    store: DeskStore, clock: Clock, name: str, password: str
) -> None:
    with pytest.raises(InvalidUser):
        add_user(store, name, display_name="x", password=password, at=clock(), actor="admin")


def test_equal_passwords_are_stored_differently() -> None:
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first != second
    assert check_password(PASSWORD, first)
    assert PASSWORD not in first
