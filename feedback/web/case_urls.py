"""Where a case is found, with the filter the reviewer works in."""

from urllib.parse import urlencode

from feedback.cases import Case


def case_url(case: Case | None, label: str, reason: str, *, done: str = "") -> str:
    """The page of `case`, or the queue when there is none left. `done` names the case decided just now."""
    given = {"label": label, "reason": reason, "done": done}
    query = urlencode({name: value for name, value in given.items() if value})
    path = f"/cases/{case.case_id}" if case else "/"
    return f"{path}?{query}#flagged" if query and case else f"{path}?{query}" if query else path
