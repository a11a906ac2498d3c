"""What the desk shows of the risk catalogue. The caller fills it from the catalogue file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from detectors.domain import Severity


@dataclass(frozen=True, slots=True)
class LabelView:
    """One label as a reviewer reads it. `laws` are the titles of its legal basis."""

    id: str
    name: str
    definition: str = ""
    severity: Severity = Severity.MEDIUM
    traits: tuple[str, ...] = ()
    laws: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """
    The labels in display order, and titles for the ids that a finding carries.

    An id that is unknown here (a verdict of a newer catalogue) is shown as it is:
    a reviewer must see that something was found, whatever it is called.
    """

    labels: tuple[LabelView, ...]
    law_titles: Mapping[str, str] = field(default_factory=dict)
    trait_names: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    @property
    def ids(self) -> frozenset[str]:
        """The ids that a reviewer may choose."""
        return frozenset(label.id for label in self.labels)

    def label(self, label_id: str) -> LabelView:
        """The label with this id, or one that is named by its id."""
        for label in self.labels:
            if label.id == label_id:
                return label
        return LabelView(id=label_id, name=label_id)

    def law_title(self, basis_id: str) -> str:
        """The title of a legal reference."""
        return self.law_titles.get(basis_id, basis_id)

    def trait_name(self, trait_id: str) -> str:
        """The Chinese name of a trait."""
        return self.trait_names.get(trait_id, trait_id)
