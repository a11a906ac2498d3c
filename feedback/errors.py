"""What can go wrong on the review desk. A reviewer reads these in Chinese; see `web/wording.py`."""

from datetime import datetime

from rules.errors import RedlineError


class FeedbackError(RedlineError):
    """Base class of everything the review desk refuses."""


class DeskStoreError(FeedbackError):
    """The desk store cannot be opened or used. Its text never carries the URL's password."""


class CaseNotFound(FeedbackError):
    """No case has this id."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        super().__init__(f"no case '{case_id}' in the desk store")


class CaseAlreadyDecided(FeedbackError):
    """Somebody decided the case first; `decided_by` and `decided_at` say who and when."""

    def __init__(self, case_id: str, decided_by: str, decided_at: datetime) -> None:
        self.case_id = case_id
        self.decided_by = decided_by
        self.decided_at = decided_at
        super().__init__(f"case '{case_id}' was decided by '{decided_by}' at {decided_at.isoformat()}")


class CaseClaimed(FeedbackError):
    """Another reviewer works on the case until `until`."""

    def __init__(self, case_id: str, claimed_by: str, until: datetime) -> None:
        self.case_id = case_id
        self.claimed_by = claimed_by
        self.until = until
        super().__init__(f"case '{case_id}' is claimed by '{claimed_by}' until {until.isoformat()}")


class CaseChanged(FeedbackError):
    """The message was judged anew after the reviewer opened the page."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        super().__init__(f"case '{case_id}' changed since it was shown; read it again before deciding")


class CaseNotDecided(FeedbackError):
    """Only a decided case can be opened again."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        super().__init__(f"case '{case_id}' is not decided, so it cannot be opened again")


class InvalidDecision(FeedbackError):
    """
    A decision that says nothing usable.

    `reason` is a stable code: `no_labels`, `unknown_label`, `nothing_to_confirm`,
    `same_labels`, `labels_not_expected`, `note_too_long`, `unknown_action`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{detail} [{reason}]")


class InvalidUser(FeedbackError):
    """A user name or password that the desk does not take."""


class SignInRefused(FeedbackError):
    """Wrong name or password, or too many tries: `wait_s` is how long the name is locked."""

    def __init__(self, wait_s: int = 0) -> None:
        self.wait_s = wait_s
        super().__init__(f"sign-in locked for {wait_s} s" if wait_s else "wrong name or password")
