"""Embeddings are computed once for each image, and do not depend on their company."""

from pathlib import Path

import numpy as np
import pytest
from support.samples.disc_pictures import Pictures, picture, sha256_of

from tasks.copies.agreement import detail_picture
from tasks.images.decode import prepare
from tasks.stores.workspace import Workspace
from tasks.training.embeddings import embed, embedding_preprocessing


@pytest.fixture
def images() -> Pictures:
    preprocessing = embedding_preprocessing()
    return Pictures({sha256_of(i): prepare(picture(i, i % 2 == 1), preprocessing) for i in range(7)})


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_only_new_images_are_computed(tmp_path: Path, scheme: str, images: Pictures) -> None:
    workspace = Workspace(str(tmp_path) if scheme == "file" else f"memory://embeddings{tmp_path}")
    names = list(images.pixels)
    first = embed(workspace, names[:5], images).values
    assert images.asked == names[:5]
    everything = embed(workspace, names[::-1], images).values
    assert images.asked[5:] == names[:4:-1]
    assert first.shape == (5, 1280)
    assert first.dtype == np.float16
    np.testing.assert_array_equal(everything[::-1][:5], first)
    assert len({row.tobytes() for row in everything}) == 7
    assert embed(workspace, [], images).values.shape == (0, 1280)


def test_features_do_not_depend_on_the_batch(tmp_path: Path, images: Pictures) -> None:
    names = list(images.pixels)
    together = embed(Workspace(str(tmp_path / "together")), names, images).values
    for position in (0, 3, 6):
        alone = embed(Workspace(str(tmp_path / f"alone {position}")), [names[position]], images).values
        np.testing.assert_array_equal(alone[0], together[position])


def test_a_damaged_file_of_the_store_is_made_again(tmp_path: Path, images: Pictures) -> None:
    names = list(images.pixels)[:2]
    before = embed(Workspace(str(tmp_path)), names, images).values
    (shard,) = tmp_path.rglob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:100])
    np.testing.assert_array_equal(embed(Workspace(str(tmp_path)), names, images).values, before)
    assert len(images.asked) == 4


def test_what_is_gone_is_added_as_far_as_it_was_kept(tmp_path: Path, images: Pictures) -> None:
    workspace = Workspace(str(tmp_path))
    names = list(images.pixels)
    before = embed(workspace, names[:3], images)
    later = embed(workspace, names[3:5], images, gone=[names[1], "never seen"])
    assert later.sha256s == (names[3], names[4], names[1])
    np.testing.assert_array_equal(later.values[2], before.values[1])
    assert images.asked == names[:5]
    pictures = later.pictures([names[1], names[3]])
    np.testing.assert_array_equal(
        pictures, [detail_picture(images.pixels[names[1]]), detail_picture(images.pixels[names[3]])]
    )
