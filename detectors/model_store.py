"""Where trained models live and which one is in service."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.errors import ModelError
from detectors.manifest import MANIFEST_FILE, Manifest, read_manifest

CURRENT_FILE = "current.json"
LEDGER_FILE = "ledger.jsonl"
Action = Literal["added", "promoted", "refused", "rolled_back"]


class LedgerEntry(BaseModel):
    """One thing that happened to a model: who did it, when, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: datetime
    actor: str
    action: Action
    version: str
    previous: str | None = None
    reasons: tuple[str, ...] = ()


class Pointer(BaseModel):
    """What `current.json` holds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model folder with its manifest and whether it is in service."""

    folder: Path
    manifest: Manifest
    in_service: bool
    builtin: bool


@dataclass(frozen=True, slots=True)
class DamagedModel:
    """A model folder that cannot be used, and why."""

    folder: Path
    reason: str


def builtin_model_path() -> Path:
    """The model that ships with redline."""
    return Path(str(resources.files("detectors"))) / "model"


class ModelStore:
    """
    A folder of model folders with a pointer to the one in service.

    The shipped model serves until another is promoted. The pointer is replaced
    atomically, so a reader sees the old or the new model, never half of one.
    Every change is a line in the ledger.
    """

    def __init__(self, root: Path, *, builtin: Path | None = None) -> None:
        self.root = root
        self.builtin = builtin or builtin_model_path()

    def current(self) -> Path:
        """
        Folder of the model in service.

        Raises ModelError when the pointer names a model that is gone.
        """
        pointer = self.root / CURRENT_FILE
        if not pointer.exists():
            return self.builtin
        try:
            version = Pointer.model_validate_json(pointer.read_bytes()).version
        except ValidationError as error:
            raise ModelError(
                f"{pointer} is damaged; run 'redline models promote VERSION' to set it again"
            ) from error
        return self._folder(version)

    def current_version(self) -> str:
        """Version of the model in service."""
        return read_manifest(self.current()).version

    def models(self) -> list[StoredModel | DamagedModel]:
        """Every model, the shipped one first, then by age; one that is damaged does not hide the others."""
        serving = self._serving_folder()
        folders = sorted(
            (path for path in self.root.glob("[!.]*") if (path / MANIFEST_FILE).exists()),
            key=lambda path: path.stat().st_mtime,
        )
        return [self._listed(folder, serving) for folder in [self.builtin, *folders]]

    def _listed(self, folder: Path, serving: Path | None) -> StoredModel | DamagedModel:
        try:
            return StoredModel(folder, read_manifest(folder), folder == serving, folder == self.builtin)
        except ModelError as error:
            return DamagedModel(folder, str(error))

    def _serving_folder(self) -> Path | None:
        try:
            return self.current()
        except ModelError:
            return None

    def find(self, version: str) -> StoredModel:
        """
        The model with this version.

        Raises ModelError when it is not in the store or not intact.
        """
        folder = self._folder(version)
        return StoredModel(folder, read_manifest(folder), folder == self.current(), folder == self.builtin)

    def add(self, folder: Path, *, at: datetime, actor: str) -> Manifest:
        """
        Copy a finished model folder into the store. Adding a version that is there, or the shipped one, changes nothing.

        Raises ModelError when the folder is not intact, or its version is no name for a folder of the store.
        """
        manifest = read_manifest(folder)
        if not _names_a_folder(manifest.version):
            raise ModelError(
                f"{folder / MANIFEST_FILE}: the version {manifest.version!r} cannot name a folder of the store "
                "(it is empty, begins with a dot or has a / in it); train the model again, "
                "or ask whoever made it for one with another version"
            )
        target = self.root / manifest.version
        if not target.exists() and manifest.version != self._builtin_version():
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".adding-") as parent:
                copy = Path(parent) / manifest.version
                shutil.copytree(folder, copy)
                copy.rename(target)
            self.record(LedgerEntry(at=at, actor=actor, action="added", version=manifest.version))
        return manifest

    def promote(
        self,
        version: str,
        *,
        at: datetime,
        actor: str,
        reasons: tuple[str, ...] = (),
        action: Action = "promoted",
    ) -> None:
        """
        Put a model into service.

        Raises ModelError when it is not in the store or not intact.
        """
        read_manifest(self._folder(version))
        previous = self._previous()
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".{CURRENT_FILE}.{os.getpid()}"
        temporary.write_text(Pointer(version=version).model_dump_json(), "utf-8")
        temporary.replace(self.root / CURRENT_FILE)
        self.record(
            LedgerEntry(
                at=at, actor=actor, action=action, version=version, previous=previous, reasons=reasons
            )
        )

    def rollback(self, *, at: datetime, actor: str) -> str:
        """
        Back to the model that served before the last promotion; returns its version.

        Raises ModelError when there is none.
        """
        promotions: list[LedgerEntry] = []
        for entry in self.ledger():
            if entry.action == "promoted":
                promotions.append(entry)
            elif entry.action == "rolled_back" and promotions:
                promotions.pop()
        if not promotions or promotions[-1].previous is None:
            raise ModelError("nothing to roll back to: no promotion is on record")
        version = promotions[-1].previous
        self.promote(
            version,
            at=at,
            actor=actor,
            reasons=(f"rolled back from {promotions[-1].version}",),
            action="rolled_back",
        )
        return version

    def record(self, entry: LedgerEntry) -> None:
        """Append a line to the ledger."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / LEDGER_FILE).open("ab") as ledger:
            ledger.write(orjson.dumps(entry.model_dump(mode="json")) + b"\n")

    def ledger(self) -> list[LedgerEntry]:
        """Everything on record, oldest first."""
        path = self.root / LEDGER_FILE
        if not path.exists():
            return []
        try:
            return [LedgerEntry.model_validate_json(line) for line in path.read_bytes().splitlines()]
        except ValidationError as error:
            raise ModelError(f"{path} is damaged: {error}") from error

    def _previous(self) -> str | None:
        """What serves now; None where that cannot be said, which must not stop a repair."""
        try:
            return self.current_version()
        except ModelError:
            return None

    def _folder(self, version: str) -> Path:
        folder = self.root / version
        if _names_a_folder(version) and folder.is_dir():
            return folder
        if self._builtin_version() == version:
            return self.builtin
        known = ", ".join(model.name for model in sorted(self.root.glob("[!.]*")) if model.is_dir()) or "none"
        raise ModelError(f"no model '{version}' in {self.root} (there: {known}); see 'redline models list'")

    def _builtin_version(self) -> str | None:
        try:
            return read_manifest(self.builtin, verify=False).version
        except ModelError:
            return None


def _names_a_folder(version: str) -> bool:
    """Whether it names one right in the store that is not hidden. It may come from a pointer or manifest made elsewhere."""
    return version == Path(version).name and not version.startswith(".") and version != ""
