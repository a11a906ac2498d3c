"""Model folders of a few bytes, real enough for the store and ONNX Runtime."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from detectors.manifest import (
    Dataset,
    InputShape,
    LabelThresholds,
    Manifest,
    Threshold,
    sha256_of,
    write_manifest,
)


def make_model(folder: Path, version: str, labels: tuple[str, ...] = ("guaranteed_return",)) -> Path:
    """A folder with a manifest and a network that loads; it is never asked to judge."""
    folder.mkdir(parents=True)
    value = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1])
    constant = helper.make_node(
        "Constant", [], ["logits"], value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    )
    model = helper.make_model(
        helper.make_graph([constant], "tiny", [], [value]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "vocabulary.txt").write_text("保\n本", "utf-8")
    write_manifest(
        folder,
        Manifest(
            name="tiny",
            version=version,
            created_at="2026-03-01T02:00:00+00:00",
            labels=list(labels),
            thresholds={label: LabelThresholds(flag=0.5, doubt=0.3) for label in labels},
            any_violation=Threshold(flag=0.5, doubt=0.3),
            input=InputShape(message=64, overlap=8, context=32, turns=3),
            dataset=Dataset(hash="0" * 64, conversations=1, messages=1, violations=1),
            settings={},
            base="test",
            code_version="test",
            scores={"test": {"f1": 0.9, "recall": 0.8, "false_flags_per_1000": 1.5}},
            files={name: sha256_of(folder / name) for name in ("model.onnx", "vocabulary.txt")},
        ),
    )
    return folder
