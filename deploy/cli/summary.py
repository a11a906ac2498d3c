"""What a run found, in a table: counted as it goes, so that a long file needs no more memory."""

from collections import Counter

from rich.table import Table

from deploy.cli.complaints import Complaints
from deploy.cli.console import results
from detectors.domain import Outcome, Verdict
from rules.catalogue import Catalogue

EXAMPLE_CHARS = 24
TOTALS = (Outcome.FLAGGED, Outcome.UNDECIDED, Outcome.CLEAN)


class Summary:
    """Counts verdicts, and keeps of each label the evidence with the highest score."""

    def __init__(self) -> None:
        self._conversations: set[str] = set()
        self._outcomes: Counter[Outcome] = Counter()
        self._labels: Counter[str] = Counter()
        self._examples: dict[str, tuple[float, str]] = {}

    def add(self, verdict: Verdict) -> None:
        """One more verdict."""
        self._conversations.add(verdict.conversation_id)
        self._outcomes[verdict.outcome] += 1
        if not verdict.flagged:
            return
        for finding in verdict.findings:
            self._labels[finding.label] += 1
            if finding.evidence:
                example = (finding.score, finding.evidence[0].text)
                self._examples[finding.label] = max(example, self._examples.get(finding.label, example))

    def show(self, catalogue: Catalogue, complaints: Complaints) -> None:
        """Print it to standard output."""
        title = f"conversations: {len(self._conversations)}, messages: {self._outcomes.total()}"
        if self._labels:
            results.print(self._table(title, catalogue))
        else:
            results.print(title)
        totals = [f"{self._outcomes[outcome]} {outcome}" for outcome in TOTALS]
        totals += [f"{complaints.repeated} of them repeats"] if complaints.repeated else []
        totals += [f"{complaints.unreadable} not readable"] if complaints.unreadable else []
        results.print(" · ".join(totals))

    def _table(self, title: str, catalogue: Catalogue) -> Table:
        table = Table(box=None, header_style="bold", title=title, title_justify="left")
        table.add_column("label")
        table.add_column("")
        table.add_column("messages", justify="right")
        table.add_column("for example")
        for label, entry in catalogue.labels.items():
            if self._labels[label]:
                example = self._examples.get(label, (0.0, ""))[1][:EXAMPLE_CHARS]
                table.add_row(label, entry.name, str(self._labels[label]), example)
        return table
