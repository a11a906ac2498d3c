"""The risk catalogue: what each label means, and the law behind it. Data; a new label is no code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from rules.schema import BasisKind, Instrument, LabelEntry, Reading, TraitEntry

CITABLE_MARKS = frozenset("AQ")


@dataclass(frozen=True, slots=True)
class LegalReference:
    """An article as a finding cites it. `verified` is false where the article itself was not read."""

    id: str
    title: str
    article: str
    says: str
    verified: bool
    kind: BasisKind = "statutory"
    in_force: date | None = None
    language: str = "zh"

    @property
    def citation(self) -> str:
        """`《…管理办法》第24条(二)`, or the title alone where no article is known; in English title and article."""
        if self.language != "zh":
            return f"{self.title} {self.article}"
        if not self.article[:1].isdigit():
            return f"《{self.title}》{self.article}"
        number = self.article.split("(")[0]
        return f"《{self.title}》第{number}条{self.article[len(number) :]}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """
    Labels, traits, areas of business and legal references of one jurisdiction.

    `forecasts` says how forecasts of a product's performance are read.
    """

    jurisdiction: str
    version: str
    language: str
    labels: Mapping[str, LabelEntry]
    traits: Mapping[str, TraitEntry]
    instruments: Mapping[str, Instrument]
    forecasts: Reading = "standard"
    areas: Mapping[str, str] = field(default_factory=dict)

    def reference(self, ref: str) -> LegalReference:
        """
        Resolve `INSTRUMENT:ARTICLE`.

        Raises KeyError when the instrument or the article is not in the data.
        """
        instrument_id, _, article = ref.partition(":")
        instrument = self.instruments[instrument_id]
        entry = instrument.articles[article]
        return LegalReference(
            ref,
            instrument.title,
            article,
            entry.says,
            verified=entry.mark in CITABLE_MARKS,
            kind=instrument.kind,
            in_force=instrument.in_force,
            language=self.language,
        )
