"""From probabilities to labels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.decision import DecisionPoints
from detectors.manifest import LabelThresholds, Manifest, Threshold, read_manifest
from detectors.model_store import builtin_model_path

SHIPPED = read_manifest(builtin_model_path())


def points(beside: float | None) -> DecisionPoints:
    return DecisionPoints(_with(LabelThresholds(flag=0.8, doubt=0.4, beside=beside)))


def _with(threshold: LabelThresholds) -> Manifest:
    return SHIPPED.model_copy(
        update={
            "thresholds": dict.fromkeys(SHIPPED.labels, threshold),
            "any_violation": Threshold(flag=0.9, doubt=0.5),
        }
    )


def chances(*first: float) -> np.ndarray:
    return np.array([*first, *[0.0] * (len(SHIPPED.labels) - len(first))], dtype=np.float32)


def test_a_flagged_message_names_further_labels_from_the_lower_point_on() -> None:
    assert points(None).decide(chances(0.9, 0.5)).flagged == (0,)
    assert points(0.3).decide(chances(0.9, 0.5, 0.2)).flagged == (0, 1)
    assert points(0.3).decide(chances(0.9, 0.5)).doubtful == ()


def test_the_lower_point_raises_no_alarm() -> None:
    assert points(0.3).decide(chances(0.5)).flagged == ()
    assert points(0.3).decide(chances(0.5)).doubtful == (0,)


@given(st.lists(st.floats(0, 1, width=32), min_size=len(SHIPPED.labels), max_size=len(SHIPPED.labels)))
def test_it_changes_which_labels_are_named_and_never_whether_any_is(values: list[float]) -> None:
    found = np.array(values, dtype=np.float32)
    without, beside = points(None).decide(found), points(0.3).decide(found)
    assert bool(without.flagged) == bool(beside.flagged)
    assert set(without.flagged) <= set(beside.flagged)
    assert {*without.flagged, *without.doubtful} >= {*beside.doubtful}
    assert not {*beside.flagged} & {*beside.doubtful}
