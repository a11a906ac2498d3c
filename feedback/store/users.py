"""Reviewers and their passwords."""

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import scrypt

from sqlalchemy import Connection, insert, select, update

from feedback.errors import InvalidUser, SignInRefused
from feedback.store.audit import SYSTEM_ACTOR, AuditAction, append_audit, lock_audit
from feedback.store.desk_store import DeskStore
from feedback.store.tables import users

PASSWORD_MIN_CHARS = 10
PASSWORD_MAX_CHARS = 200
TRIES_BEFORE_LOCK = 5
LOCK_SEC = 60
_NAME = re.compile(r"[\w.@-]{1,64}")

# OWASP's scrypt setting for 32 MiB of memory.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 3
_SCRYPT_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class User:
    """Who decides. `name` is what the audit trail records, `display_name` what colleagues read."""

    name: str
    display_name: str


def add_user(
    store: DeskStore, name: str, *, display_name: str, password: str, at: datetime, actor: str
) -> User:
    """Add a reviewer, or give one a new password. Raises InvalidUser."""
    if not _NAME.fullmatch(name) or name == SYSTEM_ACTOR:
        raise InvalidUser(f"user name {name!r}: 1–64 letters, digits or . _ @ -, and not '{SYSTEM_ACTOR}'")
    if not PASSWORD_MIN_CHARS <= len(password) <= PASSWORD_MAX_CHARS:
        raise InvalidUser(f"a password has {PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS} characters")
    hashed = hash_password(password)
    with store.write() as connection:
        lock_audit(connection)
        known = find_user(connection, name) is not None
        values = {
            "display_name": display_name,
            "password_hash": hashed,
            "failed_tries": 0,
            "locked_until": None,
        }
        if known:
            connection.execute(update(users).where(users.c.name == name).values(**values))
        else:
            connection.execute(insert(users).values(name=name, created_at=at, **values))
        action: AuditAction = "password_set" if known else "user_added"
        append_audit(connection, at=at, actor=actor, action=action, detail={"name": name})
    return User(name, display_name)


def find_user(connection: Connection, name: str) -> User | None:
    """The reviewer of this name."""
    row = connection.execute(select(users.c.name, users.c.display_name).where(users.c.name == name)).first()
    return User(row.name, row.display_name) if row else None


def display_names(store: DeskStore) -> dict[str, str]:
    """Display name per user name."""
    with store.read() as connection:
        return {row.name: row.display_name for row in connection.execute(select(users))}


def sign_in(store: DeskStore, name: str, password: str, *, at: datetime) -> User:
    """
    Check a password. Raises SignInRefused, in the same time whether or not the name exists.

    After `TRIES_BEFORE_LOCK` wrong passwords the name is locked for `LOCK_SEC`.
    """
    with store.read() as connection:
        row = connection.execute(select(users).where(users.c.name == name)).first()
    if row is None:
        check_password(password, _DUMMY_HASH)
        raise SignInRefused
    if row.locked_until is not None and at < row.locked_until:
        raise SignInRefused(wait_s=int((row.locked_until - at).total_seconds()) + 1)
    right = check_password(password, row.password_hash)
    with store.write() as connection:
        lock_audit(connection)
        values: dict[str, object] = {"failed_tries": 0, "locked_until": None}
        if not right:
            tries = (
                connection.execute(select(users.c.failed_tries).where(users.c.name == name)).scalar_one() + 1
            )
            locked = tries >= TRIES_BEFORE_LOCK
            values = {
                "failed_tries": 0 if locked else tries,
                "locked_until": at + timedelta(seconds=LOCK_SEC) if locked else None,
            }
        connection.execute(update(users).where(users.c.name == name).values(**values))
        append_audit(connection, at=at, actor=name, action="signed_in" if right else "sign_in_failed")
    if not right:
        raise SignInRefused
    return User(row.name, row.display_name)


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`, so that the cost can rise later without breaking old passwords."""
    salt = secrets.token_bytes(16)
    key = _derive(password, salt, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)
    return f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${b64encode(salt).decode()}${b64encode(key).decode()}"


def check_password(password: str, stored: str) -> bool:
    """True when `password` made `stored`."""
    _, n, r, p, salt, key = stored.split("$")
    derived = _derive(password[:PASSWORD_MAX_CHARS], b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(derived, b64decode(key))


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    raw = password.encode("utf-8", "surrogatepass")
    return scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MAX_BYTES, dklen=32)


_ZEROS = b64encode(b"0" * 16).decode(), b64encode(b"0" * 32).decode()
_DUMMY_HASH = f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${_ZEROS[0]}${_ZEROS[1]}"
