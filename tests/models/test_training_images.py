"""The record of training images never lets a member judge what it learnt from."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import BundleError
from tasks.models.training_images import TrainingImage, TrainingImages

DIGESTS = st.sampled_from([letter * 64 for letter in "0123456789"])
GROUPS = st.sampled_from(["one", "two", "three"])


def test_collect_tells_who_saw_what() -> None:
    found = TrainingImages.collect(
        {0: ["b", "a"], 1: ["b"]},
        groups={"a": "one", "b": "two", "c": "three"},
        folds={"a": 3, "b": 4, "c": 5},
    )
    assert found.images == (
        TrainingImage(sha256="a", group="one", fold=3, members=(0,)),
        TrainingImage(sha256="b", group="two", fold=4, members=(0, 1)),
    )
    assert TrainingImages.parse(found.to_bytes(), "here") == found


def test_what_cannot_be_read_is_refused() -> None:
    for data in (
        b"",
        b"[]",
        b'{"schema_version": 2, "images": []}',
        b'{"schema_version": 1, "images": [{}]}',
    ):
        with pytest.raises(BundleError, match="here: the record of training images cannot be read"):
            TrainingImages.parse(data, "here")


@given(
    seen=st.dictionaries(st.integers(0, 4), st.sets(DIGESTS)),
    groups=st.fixed_dictionaries({letter * 64: GROUPS for letter in "0123456789"}),
    image=DIGESTS,
    now=st.sampled_from(["one", "two", "three", "four"]),
    copies=st.sets(DIGESTS, max_size=3),
)
def test_no_member_is_called_unseeing_that_saw_the_image_its_group_or_a_copy(
    seen: dict[int, set[str]], groups: Mapping[str, str], image: str, now: str, copies: set[str]
) -> None:
    record = TrainingImages.collect(seen, groups, dict.fromkeys(groups, 0))
    found = record.seen_by(image, now, copies)
    trained_groups = {member: {groups[digest] for digest in digests} for member, digests in seen.items()}
    trained = set().union(*seen.values()) if seen else set()
    touched = {now} | {groups[digest] for digest in {image, *copies} & trained}
    assert found == {member for member, known in trained_groups.items() if known & touched}
    assert found >= {member for member, digests in seen.items() if digests & {image, *copies}}
