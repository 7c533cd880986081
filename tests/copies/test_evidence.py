"""What unrelated look-alikes of a set reach is no evidence of a copy."""

import numpy as np
from numpy.typing import NDArray

from tasks.copies.evidence import Limits, control_pairs, limits

NAN = np.float32("nan")


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length: NDArray[np.float32] = np.linalg.norm(values, axis=1, keepdims=True)
    return values / length


def test_controls_are_look_alikes_of_other_patients_and_hardly_copies() -> None:
    rng = np.random.default_rng(0)
    features = unit(rng.normal(size=(400, 8)).astype(np.float32))
    features[200:250] = features[:50]  # copies
    patients = [frozenset({str(i // 40)}) if i % 2 else frozenset() for i in range(400)]
    pairs = control_pairs(lambda rows: features[rows], patients)
    again = control_pairs(lambda rows: features[rows], patients)
    assert pairs.tolist() == again.tolist()
    assert 50 <= len(pairs) <= 64
    assert all(not patients[a] & patients[b] for a, b in pairs.tolist())
    likeness = (features[pairs[:, 0]] * features[pairs[:, 1]]).sum(axis=1)
    assert np.median(likeness) > 0.4  # of random pairs it is 0
    assert (likeness > 0.999).mean() < 0.1
    assert len(control_pairs(lambda rows: features[rows], patients[:9])) == 0


def test_limits_rise_with_what_controls_reach_and_never_fall() -> None:
    rule = (0.65, 20)
    assert limits(*rule, np.empty(0, np.float32), np.empty(0, np.int64)) == Limits(*rule)
    far = np.full(64, 90)
    assert limits(*rule, np.linspace(0, 0.3, 64, dtype=np.float32), far) == Limits(*rule)
    few_copies = np.concatenate([np.zeros(60, np.float32), np.full(4, 0.9, np.float32)])
    assert limits(*rule, few_copies, np.concatenate([far[:60], np.zeros(4, np.int64)])) == Limits(*rule)
    alike = limits(*rule, np.linspace(0.4, 0.7, 64, dtype=np.float32), np.full(64, 12))
    assert alike.agreement > 0.8
    assert alike.hash_distance == 6


def test_pictures_decide_and_hashes_where_there_are_none() -> None:
    met = Limits(0.7, 10).met(np.array([0.71, 0.69, NAN, NAN], np.float32), np.array([90, 0, 10, 11]))
    assert met.tolist() == [True, False, True, False]
