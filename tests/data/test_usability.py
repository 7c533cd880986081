"""When a catalogue can be trained and evaluated on, and what is said when not."""

from collections.abc import Mapping

import pytest
from support.samples.small_catalogues import Store, encoded, slice_like, varied_store

from tasks.data.catalogue_table import CatalogueTable
from tasks.data.usability import check_usable
from tasks.errors import ConfigError, DataSetUnusable, TooManyRejects


def test_usable() -> None:
    check_usable(varied_store().table(), "yes", 0.2)
    check_usable(varied_store().table(), None, 1.0)


def test_too_many_rejects_come_with_a_table_of_reasons() -> None:
    with pytest.raises(TooManyRejects) as caught:
        check_usable(varied_store().table(), "yes", 0.1)
    message = str(caught.value)
    assert "3 of 18 labelled files" in message
    assert "max_reject_fraction=0.1" in message
    for told in ("truncated", "empty_file", "no/notes.jpg", "not_an_image"):
        assert told in message
    assert "label_missing" not in message


def small(labels: Mapping[str, int], copies: int = 1) -> CatalogueTable:
    store, seed = Store(), 0
    for label, count in labels.items():
        for _ in range(count):
            seed += 1
            for copy in range(copies):
                store.add(f"{label}/{seed} {copy}.png", encoded(slice_like(seed)), label)
    return store.table(3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [({}, "no usable labelled image"), ({"yes": 9}, "one class, 'yes'"), ({"yes": 9, "no": 2}, "'no' has 2")],
)
def test_unusable_data(labels: dict[str, int], message: str) -> None:
    with pytest.raises(DataSetUnusable, match=message) as caught:
        check_usable(small(labels, copies=3), None, 0.1)
    assert caught.value.cure


def test_an_unknown_positive_class() -> None:
    with pytest.raises(ConfigError, match=r"positive_class='tumor'.*no, yes"):
        check_usable(small({"yes": 5, "no": 5}), "tumor", 0.1)


def test_a_class_in_too_few_groups_is_named_and_many_of_them_are_not_all_listed() -> None:
    with pytest.raises(DataSetUnusable) as caught:
        check_usable(small({"fine": 4} | {f"rare {i:02d}": 1 for i in range(8)}), None, 0.1)
    message = str(caught.value)
    assert "'rare 00' has 1 groups" in message
    assert "'rare 04'" in message
    assert "'rare 05'" not in message
    assert "and 3 more of 9 classes" in message
    assert "'fine' has" not in message


def test_a_group_that_swallows_the_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    table = small({"yes": 4, "no": 4}, copies=1)
    frame = table.frame.copy()
    frame.loc[:4, "group"] = "gone too far"
    swallowed = CatalogueTable(frame, table.rejects, 3)
    check_usable(swallowed, "yes", 0.1, max_group_fraction=0.05)
    monkeypatch.setattr("tasks.data.usability.ABSURD_GROUP", 4)
    with pytest.raises(DataSetUnusable, match="holds 5 of 8 contents") as caught:
        check_usable(swallowed, "yes", 0.1, max_group_fraction=0.05)
    assert "max_group_fraction" in caught.value.cure
    check_usable(swallowed, "yes", 0.1, max_group_fraction=0.7)
