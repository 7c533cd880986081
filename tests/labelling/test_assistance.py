"""The machine suggests only where held-out labels say that it may, and asks for what teaches most."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.labelling.assistance import AssistanceFigures, Assistant, confident_from, train_assistant
from tasks.labelling.choice import side_by_side, teaching_order, uncertainty


def clouds(n: int, distance: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Features (2n, 64) of two classes so far apart, and their labels."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2 * n, 64)).astype(np.float32)
    features[n:, :4] += distance
    return features, ["no"] * n + ["yes"] * n


def train(features: np.ndarray, labels: list[str], precision: float = 0.95) -> Assistant | AssistanceFigures:
    groups = np.arange(len(labels))
    return train_assistant(features, labels, groups, ("yes", "no"), precision=precision, made="test")


def test_it_suggests_from_ten_labels_of_each_class_on_and_chooses_from_three() -> None:
    features, labels = clouds(10, 4)
    model = train(features, labels)
    assert isinstance(model, Assistant) and model.figures.threshold is not None
    assert model.figures.labels == {"yes": 10, "no": 10} and model.figures.why_none is None
    few = train(features[7:], labels[7:])
    assert isinstance(few, Assistant) and few.figures.threshold is None
    assert few.figures.why_none == "needs 10 labels of each class; no has 3"
    none = train(features[8:], labels[8:])
    assert isinstance(none, AssistanceFigures) and none.model is None
    assert none.why_none == "needs 10 labels of each class; no has 2"


def test_the_model_is_the_same_for_the_same_labels_and_another_for_others() -> None:
    features, labels = clouds(15, 4)
    one, two = train(features, labels), train(features, labels)
    other = train(features, ["yes", *labels[1:]])
    assert isinstance(one, Assistant) and isinstance(two, Assistant) and isinstance(other, Assistant)
    assert one.figures == two.figures
    assert np.array_equal(one.probabilities(features), two.probabilities(features))
    assert other.figures.model != one.figures.model


def test_the_stated_precision_holds_on_images_it_never_saw() -> None:
    features, labels = clouds(100, 1.0)
    model = train(features, labels, precision=0.9)
    assert isinstance(model, Assistant) and model.figures.threshold is not None
    fresh, truth = clouds(2000, 1.0, seed=1)
    found = model.probabilities(fresh)
    assert np.allclose(found.sum(axis=1), 1)
    sure = found.max(axis=1) >= model.figures.threshold
    right = np.array([model.classes[index] for index in found.argmax(axis=1)]) == np.array(truth)
    assert right.mean() < 0.9, "it is not always right"
    assert right[sure].mean() > 0.87 and 0.1 < sure.mean() < 1


def test_where_labels_mean_nothing_it_suggests_nothing() -> None:
    features, labels = clouds(40, 0.0)
    model = train(features, labels)
    assert isinstance(model, Assistant)
    assert model.figures.threshold is None and model.figures.held_out_sure == 0
    assert model.figures.why_none == "on held-out labels it is never right in 95%"


def test_copies_do_not_vouch_for_each_other() -> None:
    """Twenty copies of each of four images, labelled by chance: known by heart within a group, unknown across."""
    rng = np.random.default_rng(3)
    features = np.repeat(rng.normal(size=(8, 64)).astype(np.float32), 10, axis=0)
    labels = ["no"] * 40 + ["yes"] * 40
    groups = np.repeat(np.arange(8), 10)
    careless = train(features, labels)
    careful = train_assistant(features, labels, groups, ("no", "yes"), precision=0.95, made="test")
    assert isinstance(careless, Assistant) and careless.figures.threshold is not None
    assert isinstance(careful, Assistant) and careful.figures.threshold is None


@given(
    st.lists(st.tuples(st.integers(5, 10), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0.6, 0.8, 0.95]),
)
def test_a_threshold_keeps_its_word_and_takes_all_that_are_equally_sure(
    answers: list[tuple[int, bool]], precision: float
) -> None:
    sure = np.array([one for one, _ in answers]) / 10
    truth = np.array([0 if right else 1 for _, right in answers])
    threshold, count, right = confident_from(np.stack([sure, 1 - sure], axis=1), truth, precision)
    if threshold is None:
        assert count == right == 0
        return
    above = sure >= threshold
    assert count == above.sum() >= 20 and right == (truth[above] == 0).sum()
    assert right / count >= precision


def test_the_order_asks_for_everything_once_and_for_the_uncertain_first() -> None:
    features, _ = clouds(60, 3)
    doubt = np.linspace(0, 1, 120)
    order = teaching_order(features, doubt, first=20, batch=10)
    assert sorted(order) == list(range(120))
    assert set(order[:10]) <= set(range(20, 120)), "a batch comes from the hundred most uncertain"
    assert list(order[20:]) == sorted(order[20:], reverse=True), "the rest follows by uncertainty"
    assert np.array_equal(order, teaching_order(features, doubt, first=20, batch=10))
    assert len(teaching_order(features[:0], None, 5)) == 0


def test_a_cold_start_is_varied() -> None:
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(10), 12)
    features = (rng.normal(size=(10, 32))[places] * 5 + rng.normal(size=(120, 32)) * 0.1).astype(np.float32)
    first = teaching_order(features, None, first=10, batch=10)[:10]
    assert len(set(places[first])) == 10
    copies = np.zeros((30, 8), dtype=np.float32)
    assert sorted(teaching_order(copies, None, first=30, batch=10)) == list(range(30))


def test_similar_images_stand_side_by_side() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.permutation(np.repeat(np.arange(4), 5))
    features = (np.eye(4)[kinds] * 10 + rng.normal(size=(20, 4)) * 0.1).astype(np.float32)
    walk = kinds[side_by_side(features)]
    assert np.count_nonzero(np.diff(walk)) == 3


def test_uncertainty_is_that_of_the_margin() -> None:
    found = uncertainty(np.array([[0.5, 0.5, 0.0], [0.2, 0.7, 0.1], [0.0, 0.0, 1.0]]))
    assert found == pytest.approx([1, 0.5, 0])
