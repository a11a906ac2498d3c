"""Who is at the browser: a signed cookie, and the token that every form carries."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from itsdangerous import BadSignature, Signer, URLSafeSerializer

from feedback.store.users import User

COOKIE = "redline_session"
SESSION_TTL = timedelta(hours=12)
SECRET_MIN_CHARS = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the cookie says. `sid` is random; `user` is empty before signing in."""

    sid: str
    user: str
    issued_at: int


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in reviewer with the token for their forms."""

    user: User
    csrf_token: str
    demo: bool


class Tickets:
    """Signs and checks tickets. Raises ValueError for a secret that is too short to be one."""

    def __init__(self, secret_key: str) -> None:
        if len(secret_key) < SECRET_MIN_CHARS:
            raise ValueError(f"the desk's secret_key needs at least {SECRET_MIN_CHARS} characters")
        self._cookies = URLSafeSerializer(
            secret_key, salt="redline-session", signer_kwargs={"digest_method": sha256}
        )
        self._forms = Signer(secret_key, salt="redline-form", digest_method=sha256)

    def new(self, user: str, now: datetime) -> Ticket:
        """A fresh ticket; signing in never keeps the old `sid`."""
        return Ticket(secrets.token_urlsafe(18), user, int(now.timestamp()))

    def seal(self, ticket: Ticket) -> str:
        """The cookie's value."""
        return str(self._cookies.dumps([ticket.sid, ticket.user, ticket.issued_at]))

    def read(self, cookie: str | None, now: datetime) -> Ticket | None:
        """The ticket of a cookie, or None when it is missing, altered or too old."""
        if not cookie:
            return None
        try:
            sid, user, issued_at = self._cookies.loads(cookie)
            ticket = Ticket(str(sid), str(user), int(issued_at))
        except (BadSignature, ValueError, TypeError):
            return None
        age_s = now.timestamp() - ticket.issued_at
        return ticket if -60 <= age_s < SESSION_TTL.total_seconds() else None

    def form_token(self, ticket: Ticket) -> str:
        """The token that forms of this session carry."""
        return self._forms.get_signature(ticket.sid).decode()

    def is_form_token(self, ticket: Ticket, token: str) -> bool:
        """True when `token` belongs to this session."""
        return hmac.compare_digest(token.encode(), self.form_token(ticket).encode())
