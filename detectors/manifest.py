"""The model folder's contract: what a trained model says of itself, checked before it runs."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from detectors.errors import ModelError
from detectors.tokens import InputLimits

MANIFEST_FILE = "manifest.json"
MANIFEST_SCHEMA = 2
SEALED_FROM = 2


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Threshold(Strict):
    """Decision points of a probability: found at `flag`, from `doubt` up to there a person should look."""

    flag: float = Field(gt=0, le=1)
    doubt: float = Field(gt=0, le=1)


class LabelThresholds(Threshold):
    """
    The same for one label, whose probability is `sigmoid(scale * logit + shift)`.

    In a message that is flagged anyway the label is found from `beside` on: there the question is no
    longer whether to raise an alarm, only what to call it. None: from `flag` on, as anywhere.
    """

    scale: float = Field(default=1.0, gt=0)
    shift: float = 0.0
    beside: float | None = Field(default=None, gt=0, le=1)


class InputShape(Strict):
    """The input limits with which the model was trained (see `detectors.tokens.InputLimits`)."""

    message: int = Field(gt=0)
    overlap: int = Field(ge=0)
    context: int = Field(ge=0)
    turns: int = Field(ge=0)

    @classmethod
    def of(cls, limits: InputLimits) -> "InputShape":
        """The limits as a manifest holds them."""
        return cls(**asdict(limits))


class Dataset(Strict):
    """
    What the model learnt from: a content hash and counts.

    `samples` are new ones beside the `messages`, by what made them; the model folder lists them in
    `samples.jsonl`, each with its parent. Models made before there was such a list have none here.
    """

    hash: str
    conversations: int
    messages: int
    violations: int
    sources: dict[str, int] = Field(default_factory=dict)
    samples: dict[str, int] = Field(default_factory=dict)


class SecondReading(Strict):
    """
    When a larger encoder reads a window again, and how much it counts (see `detectors.second_reader`).

    `version` is the model that it comes from. It is asked where the first encoder's probability of
    any violation, uncalibrated, is at least `reads_from`; of the weighted mean of both logits
    `share` is its weight, the rest the first one's.
    """

    version: str
    reads_from: float = Field(ge=0, le=1)
    share: float = Field(gt=0, le=1)


class Manifest(Strict):
    """
    One model: identity, labels in output order, thresholds, provenance, scores.

    `any_violation` holds the points for the probability that any label applies, `second` the
    terms of the second reader, where there is one. Where the first stage settles a turn, or the
    probability of any violation is below `denies_below`, the model denies that there is one.
    `files` gives the SHA-256 of every file beside the manifest; an altered file is refused, and
    one that is not named is not loaded. `seal` does the same for the manifest itself: the SHA-256
    of all the rest of it, as `write_manifest` wrote it; None before schema 2. It tells a change
    by hand, such as of a threshold under the same version; it is no signature.
    """

    schema_version: int = Field(default=MANIFEST_SCHEMA, ge=1, le=MANIFEST_SCHEMA)
    name: str
    version: str
    created_at: str
    labels: list[str] = Field(min_length=1)
    thresholds: dict[str, LabelThresholds]
    any_violation: Threshold
    second: SecondReading | None = None
    denies_below: float = Field(default=0.0, ge=0, lt=1)
    input: InputShape
    dataset: Dataset
    settings: dict[str, Any]
    base: str
    code_version: str
    scores: dict[str, Any]
    files: dict[str, str]
    seal: str | None = None


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path, *, verify: bool = True) -> Manifest:
    """
    Read a model folder's manifest, and with `verify` compare it with its seal and every file with its hash.

    Raises ModelError, saying what to do, when the folder, the manifest or a file
    is missing, malformed or altered.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ModelError(
            f"{folder} is no model folder: {MANIFEST_FILE} is missing; give one made by 'redline train' or 'redline retrain'"
        )
    try:
        content = orjson.loads(path.read_bytes())
        manifest = Manifest.model_validate(content)
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise ModelError(f"{path} is not a valid manifest: {error}") from error
    if verify:
        _check_seal(path, manifest, content)
    for name, expected in manifest.files.items() if verify else ():
        file = folder / name
        if not file.is_file():
            raise ModelError(f"{file} is missing; copy the whole model folder again")
        if sha256_of(file) != expected:
            raise ModelError(
                f"{file} was altered: its SHA-256 is not the one in {MANIFEST_FILE}; copy the model again or roll back"
            )
    missing = [label for label in manifest.labels if label not in manifest.thresholds]
    if missing:
        raise ModelError(f"{path} has no thresholds for {', '.join(missing)}")
    return manifest


def listed_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """
    The path of a file that is about to be loaded.

    Raises ModelError when the manifest does not name it: then no hash says that it is the one that was made.
    """
    if name not in manifest.files:
        raise ModelError(
            f"{folder}: {MANIFEST_FILE} names no {name}, so nothing says whether it was altered; "
            "copy the whole model folder again"
        )
    return folder / name


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Seal the manifest and write it, indented for people."""
    content = manifest.model_copy(update={"schema_version": MANIFEST_SCHEMA}).model_dump(exclude={"seal"})
    sealed = {**content, "seal": _seal_of(content)}
    (folder / MANIFEST_FILE).write_bytes(orjson.dumps(sealed, option=orjson.OPT_INDENT_2) + b"\n")


def _check_seal(path: Path, manifest: Manifest, content: dict[str, Any]) -> None:
    if manifest.seal is None and manifest.schema_version < SEALED_FROM:
        return
    # Of what the file says, not of what was read from it: a later redline may fill in more defaults.
    if manifest.seal != _seal_of({key: value for key, value in content.items() if key != "seal"}):
        raise ModelError(
            f"{path} was altered: its content is not what its seal stands for; copy the model again or roll back "
            "(thresholds are found by 'redline train', not set by hand)"
        )


def _seal_of(content: dict[str, Any]) -> str:
    """SHA-256 over JSON without blanks, keys in order."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
