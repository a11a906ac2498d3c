"""What the desk needs from the rules, in the desk's own form, also after they changed."""

from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from deploy.pack_watch import PackWatch
from detectors.domain import Severity
from feedback.catalogue_view import CatalogueView, LabelView
from rules.catalogue import Catalogue, LegalReference

UNVERIFIED = "（待核对原文）"


class FollowingDesk:
    """
    The desk as an ASGI app that shows the catalogue of the pack in service.

    `build` makes the desk for a catalogue; it is called again when `follow` finds
    another pack. Requests under way end on the desk they began with.
    """

    def __init__(self, rules: PackWatch, build: Callable[[CatalogueView], FastAPI]) -> None:
        self._rules = rules
        self._build = build
        self._app = build(catalogue_view(rules.pack.catalogue))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, by the desk as it is now."""
        await self._app(scope, receive, send)

    def follow(self) -> None:
        """Look whether the pack changed."""
        if self._rules.look():
            self._app = self._build(catalogue_view(self._rules.pack.catalogue))


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
