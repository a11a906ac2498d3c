"""What the desk needs from the rules, in the desk's own form."""

from detectors.domain import Severity
from feedback.catalogue_view import CatalogueView, LabelView
from rules.catalogue import Catalogue, LegalReference

UNVERIFIED = "（待核对原文）"


def catalogue_view(catalogue: Catalogue) -> CatalogueView:
    """The catalogue as reviewers see it."""
    refs = {
        f"{instrument}:{article}": catalogue.reference(f"{instrument}:{article}")
        for instrument, entry in catalogue.instruments.items()
        for article in entry.articles
    }
    return CatalogueView(
        labels=tuple(
            LabelView(
                id=label.id,
                name=label.name,
                definition=label.definition,
                severity=Severity(label.severity),
                traits=tuple(label.traits),
                laws=tuple(_law(refs[ref]) for ref in label.basis),
            )
            for label in catalogue.labels.values()
        ),
        law_titles={ref: _law(law) for ref, law in refs.items()},
        trait_names={name: trait.name for name, trait in catalogue.traits.items()},
        version=f"{catalogue.jurisdiction}-{catalogue.version}",
    )


def _law(law: LegalReference) -> str:
    return f"{law.citation}：{law.says}{'' if law.verified else UNVERIFIED}"
