"""When a catalogue can be trained and evaluated on, and what is said when not."""

from collections.abc import Mapping

import pytest
from support.samples.small_catalogues import Store, encoded, slice_like, varied_store

from tasks.data.catalogue_table import CatalogueTable
from tasks.data.contradictions import contradicting_classes
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
    [
        ({}, "no usable labelled image"),
        ({"yes": 9}, "one class, 'yes'"),
        ({"yes": 9, "no": 2}, "'no' has 6 images in 2 groups"),
    ],
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
    assert "'rare 00' has 1 images in 1 group" in message
    assert "'rare 04'" in message
    assert "'rare 05'" not in message
    assert "and 3 more of 9 classes" in message
    assert "'fine' has" not in message


def labels_of(store: Store) -> dict[str, str]:
    return {file.path: file.label for file in store.files if file.label is not None}


def of_split(counts: Mapping[str, tuple[int, int]], n_folds: int = 3) -> CatalogueTable:
    """Images of each class in the training and the test part."""
    store, seed = Store(), 0
    for label, sides in counts.items():
        for split, count in zip(("train", "test"), sides, strict=True):
            for _ in range(count):
                seed += 1
                store.add(f"{split}/{label}/{seed}.png", encoded(slice_like(seed)), label, split=split)  # type: ignore[arg-type]
    return store.table(n_folds)


def test_a_class_of_which_no_file_can_be_used_is_missed() -> None:
    store = varied_store()
    for place in range(4):
        store.add(f"third/{place}.jpg", b"\0\0\0\x18ftypheic" + bytes([place]) * 40, "third")
    with pytest.raises(
        DataSetUnusable, match=r"class 'third': none of its 4 files can be used \(unsupported 4\)"
    ) as caught:
        check_usable(store.table(), "yes", 0.9, labels=labels_of(store))
    assert "third/0.jpg: HEIF" in caught.value.message
    assert "export the files of 'third' as PNG" in caught.value.cure
    for place in range(4):
        store.add(f"third/{place}.png", encoded(slice_like(80 + place)), "third")
    check_usable(store.table(), "yes", 0.9, labels=labels_of(store))


def test_a_folder_of_texts_is_no_class_that_is_missed() -> None:
    store = varied_store()
    store.add("notes/read me.txt", b"of whom these are", "notes")
    check_usable(store.table(), "yes", 0.9, labels=labels_of(store))


@pytest.mark.parametrize(
    ("counts", "message", "cured"),
    [
        (
            {"yes": (4, 2), "no": (4, 0)},
            "the given test part has no image of 'no'",
            {"yes": (4, 2), "no": (4, 2)},
        ),
        (
            {"yes": (4, 2), "no": (0, 4)},
            "the given training part has no image of 'no'",
            {"yes": (4, 2), "no": (4, 4)},
        ),
        ({"yes": (4, 0), "no": (4, 0)}, "a training part and no test part", {"yes": (4, 1), "no": (4, 1)}),
        ({"yes": (0, 4), "no": (0, 4)}, "nothing is left to learn from", {"yes": (2, 4), "no": (2, 4)}),
        (
            {"yes": (4, 2), "no": (1, 2)},
            "'no' has 1 images of the training part in 1 group",
            {"yes": (4, 2), "no": (2, 2)},
        ),
    ],
)
def test_a_split_that_cannot_be_honoured_is_told_without_folds_and_its_cure_works(
    counts: dict[str, tuple[int, int]], message: str, cured: dict[str, tuple[int, int]]
) -> None:
    with pytest.raises(DataSetUnusable, match=message) as caught:
        check_usable(of_split(counts), None, 0.1)
    assert "fold 0" not in str(caught.value)
    check_usable(of_split(cured), None, 0.1)


def test_fewer_folds_are_advised_where_they_help_alone() -> None:
    with pytest.raises(DataSetUnusable) as caught:
        check_usable(of_split({"yes": (9, 2), "no": (3, 2)}, 5), None, 0.1)
    assert "with --folds 4" in caught.value.cure
    check_usable(of_split({"yes": (9, 2), "no": (3, 2)}, 4), None, 0.1)
    with pytest.raises(DataSetUnusable) as caught:
        check_usable(of_split({"yes": (9, 2), "no": (1, 2)}, 5), None, 0.1)
    assert "--folds" not in caught.value.cure


@pytest.mark.parametrize("n_folds", [3, 5])
def test_a_class_of_two_images_or_of_one_patient_has_a_cure_that_works(n_folds: int) -> None:
    store = Store()
    for seed in range(12):
        store.add(f"no/{seed}.png", encoded(slice_like(seed)), "no")
    for seed in range(6):
        store.add(f"yes/{seed}.png", encoded(slice_like(30 + seed)), "yes", group="P1")
    with pytest.raises(DataSetUnusable, match="'yes' has 6 images in 1 group") as caught:
        check_usable(store.table(n_folds), "yes", 0.1)
    assert f"until there are {n_folds} groups" in caught.value.cure
    assert "--folds" not in caught.value.cure
    for seed in range(n_folds - 1):
        store.add(f"yes/more {seed}.png", encoded(slice_like(50 + seed)), "yes", group=f"Q{seed}")
    check_usable(store.table(n_folds), "yes", 0.1)


def test_a_data_set_that_was_unpacked_twice_is_told_by_who_contradicts_whom() -> None:
    store = Store()
    for seed in range(8):
        label = "yes" if seed % 2 else "no"
        store.add(f"{label}/{seed}.png", encoded(slice_like(seed)), label)
        store.add(f"set/{label}/{seed}.png", encoded(slice_like(seed)), "set")
    with pytest.raises(DataSetUnusable) as caught:
        check_usable(store.table(), None, 0.1)
    assert "every picture of 'no', 'set', 'yes' stands under another class too" in caught.value.message
    assert "4 of the 4 pictures of 'no' are also under 'set' (8 pictures)" in caught.value.message
    assert "no/0.png and set/no/0.png are the same" in caught.value.message
    assert "remove the folder that is the copy" in caught.value.cure


def test_one_picture_under_all_names_is_told() -> None:
    store = Store()
    for seed in range(9):
        store.add(f"yes/{seed}.png", encoded(slice_like(1), compress_level=seed), "yes")
    with pytest.raises(
        DataSetUnusable, match=r"all 9 usable files show the same picture, such as yes/0\.png and"
    ):
        check_usable(store.table(), None, 0.1)
    for seed in range(9):
        store.add(f"no/{seed}.png", encoded(slice_like(1), compress_level=seed), "no")
    with pytest.raises(DataSetUnusable, match="every picture of 'no', 'yes' stands under another class too"):
        check_usable(store.table(), None, 0.1)


def test_some_pictures_under_two_classes_are_told_and_the_rest_goes_on() -> None:
    store = varied_store()
    store.add("no/copy of 1.png", encoded(slice_like(1)), "no")
    table = store.table()
    check_usable(table, "yes", 0.2)
    [told] = contradicting_classes(table.frame)
    assert "1 of the 7 pictures of 'no' are also under 'yes'" in told
    assert "They are neither learnt from nor reported on" in told
