"""Which contents are copies: proposed by hash and features, decided by the pictures, and remembered."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.copies.agreement import detail_picture
from tasks.copies.content import Content
from tasks.copies.copy_store import CopyStore
from tasks.copies.duplicates import dhash, group_by_pairs
from tasks.copies.feature_scale import ContentFeatures, FeatureScale
from tasks.copies.found_copies import copies_among
from tasks.copies.near_copies import CopyIndex, find_copies
from tasks.copies.settings import NearCopyRule
from tasks.errors import WorkspaceError
from tasks.images.decode import decode, prepare
from tasks.stores.workspace import Workspace

Picture = NDArray[np.uint8]
RULE = NearCopyRule()


def picture(seed: int) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)
    return np.asarray(image.convert("RGB"))


def shifted(pixels: Picture, by: int = 8) -> Picture:
    return np.roll(pixels, by, axis=1)


class Contents:
    """Pictures as contents, with features in which copies are near one another."""

    def __init__(self) -> None:
        self.contents: list[Content] = []
        self.pictures: list[Picture] = []
        self.features: list[NDArray[np.float32]] = []
        self.asked: list[str] = []

    def add(self, pixels: Picture, like: int, spread: float = 0.3) -> str:
        number = len(self.contents)
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        self.contents.append(Content(sha256, sha256, dhash(pixels).tobytes().hex(), (), "yes", None, 96))
        self.pictures.append(pixels)
        own = np.random.default_rng([7, like]).normal(size=64)
        self.features.append(
            (own + spread * np.random.default_rng([8, number]).normal(size=64)).astype(np.float32)
        )
        return sha256

    def pictures_of(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        self.asked += sha256s
        place = {content.sha256: i for i, content in enumerate(self.contents)}
        return np.stack([detail_picture(self.pictures[place[sha256]]) for sha256 in sha256s])

    def known(self, n: int | None = None) -> ContentFeatures:
        names = tuple(content.sha256 for content in self.contents[:n])
        return ContentFeatures(names, np.stack(self.features[:n]).astype(np.float16), self.pictures_of, "v1")


def named(index: CopyIndex) -> set[frozenset[str]]:
    return {frozenset((index.sha256s[a], index.sha256s[b])) for a, b in index.pairs.tolist()}


@pytest.fixture
def contents() -> Contents:
    made = Contents()
    for seed in range(40):
        made.add(picture(seed), like=seed)
    return made


def test_features_propose_and_the_pictures_decide(contents: Contents) -> None:
    copy = contents.add(shifted(picture(3)), like=3)
    contents.add(picture(100), like=5)  # alike by features alone
    pale = contents.add((picture(9) // 3 + 60).astype(np.uint8), like=200)  # alike by hash alone
    first = [content.sha256 for content in contents.contents]
    found = find_copies(contents.contents, RULE, features=contents.known())
    assert named(found) == {frozenset((first[3], copy)), frozenset((first[9], pale))}
    by_pair = {
        frozenset((found.sha256s[a], found.sha256s[b])): i for i, (a, b) in enumerate(found.pairs.tolist())
    }
    shift, paler = by_pair[frozenset((first[3], copy))], by_pair[frozenset((first[9], pale))]
    assert found.hash_distance[shift] > 20 > found.hash_distance[paler]
    assert found.cosine[shift] > 0.45 > found.cosine[paler]
    assert found.evident.all()
    assert found.agreement.min() >= RULE.min_agreement


def test_without_pictures_the_hash_decides(contents: Contents) -> None:
    copy = contents.add((picture(9) // 3 + 60).astype(np.uint8), like=9)
    contents.add(shifted(picture(3)), like=3)
    found = find_copies(contents.contents, RULE)
    assert named(found) == {frozenset((contents.contents[9].sha256, copy))}
    assert np.isnan(found.cosine).all()
    assert np.isnan(found.agreement).all()
    only_old = find_copies(contents.contents, RULE, features=contents.known(40))
    assert named(only_old) == named(found)


def test_switched_off_nothing_is_a_near_copy(contents: Contents) -> None:
    contents.add(shifted(picture(3)), like=3)
    off = RULE.model_copy(update={"search": False})
    assert len(find_copies(contents.contents, RULE, features=contents.known()).pairs) == 1
    assert len(find_copies(contents.contents, off, features=contents.known()).pairs) == 0


def test_flat_pictures_are_no_copies_of_one_another() -> None:
    flat = Contents()
    for grey in (0, 90, 91):
        flat.add(np.full((96, 96, 3), grey, dtype=np.uint8), like=grey)
    assert len(find_copies(flat.contents, RULE, features=flat.known()).pairs) == 0


def test_a_larger_set_compares_only_what_is_new_and_finds_the_same(contents: Contents) -> None:
    contents.add(shifted(picture(3)), like=3)
    scale = FeatureScale.of(contents.known().values)
    before = find_copies(contents.contents, RULE, features=contents.known(), scale=scale)
    old = {content.sha256 for content in contents.contents}
    late = contents.add(shifted(picture(5), 6), like=5)
    contents.asked.clear()
    grown = find_copies(contents.contents, RULE, features=contents.known(), scale=scale, known=before)
    assert frozenset((contents.contents[5].sha256, late)) in named(grown)
    assert set(contents.asked) - old == {late}
    assert len(contents.asked) < 10
    afresh = find_copies(contents.contents, RULE, features=contents.known(), scale=scale)
    assert grown.measured == before.measured < afresh.measured
    assert grown.to_bytes() == replace(afresh, limits=before.limits, measured=before.measured).to_bytes()
    assert CopyIndex.from_bytes(grown.to_bytes()).to_bytes() == grown.to_bytes()


def test_what_had_no_features_is_compared_when_it_has(contents: Contents) -> None:
    copy = contents.add(shifted(picture(3)), like=3)
    scale = FeatureScale.of(contents.known().values)
    without = find_copies(contents.contents, RULE, features=contents.known(40), scale=scale)
    assert named(without) == set()
    found = find_copies(contents.contents, RULE, features=contents.known(), scale=scale, known=without)
    assert named(found) == {frozenset((contents.contents[3].sha256, copy))}


def test_from_200_contents_on_the_scale_is_kept_and_pairs_do_not_drift(
    tmp_path: Path, contents: Contents
) -> None:
    store = CopyStore(Workspace(str(tmp_path)), "a")
    store.find(contents.contents, contents.known(), RULE)
    assert not list(tmp_path.rglob("*.npz"))
    for seed in range(40, 210):
        contents.add(picture(seed), like=seed)
    contents.add(shifted(picture(3)), like=3)
    first = store.find(contents.contents, contents.known(), RULE).index
    assert len(first.pairs) == 1
    (scale,) = tmp_path.rglob("scale-*.npz")
    kept = scale.read_bytes()
    for seed in range(300, 330):
        contents.add(picture(seed), like=seed, spread=9)
        contents.features[-1] += 5
    later = store.find(contents.contents, contents.known(), RULE).index
    assert scale.read_bytes() == kept
    assert named(first) <= named(later)
    assert later.cosine[0] == first.cosine[0]
    contents.asked.clear()
    assert store.find(contents.contents, contents.known(), RULE).index.to_bytes() == later.to_bytes()
    assert contents.asked == []
    (pairs,) = tmp_path.rglob("pairs-*.npz")
    pairs.write_bytes(pairs.read_bytes()[:90])
    assert named(store.find(contents.contents, contents.known(), RULE).index) == named(later)
    scale.write_bytes(kept[:50])
    with pytest.raises(WorkspaceError, match="scale"):
        store.find(contents.contents, contents.known(), RULE)


def test_the_scale_ignores_constant_features_and_length() -> None:
    values = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32) + 100
    values[:, 5] = 12345.0
    scale = FeatureScale.of(values)
    unit = scale.unit(values)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    assert (unit[:, 5] == 0).all()
    assert (FeatureScale.from_bytes(scale.to_bytes()).unit(values) == unit).all()
    assert (scale.unit(values.mean(axis=0, keepdims=True)) < 1).all()


@pytest.mark.slow
def test_brain_mri(brain_mri: Path, tmp_path: Path) -> None:
    """Copies that were shifted, rescaled or annotated are found; heads that only look alike stay apart."""
    from tasks.training.embeddings import embed, embedding_preprocessing

    pixels: dict[str, Picture] = {}
    names: dict[str, str] = {}
    for path in [*sorted(brain_mri.glob("no/*")), *sorted(brain_mri.glob("yes/*"))]:
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in pixels:
            pixels[sha256], names[sha256] = decode(data).pixels, f"{path.parent.name}/{path.stem}"

    class Pictures:
        def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
            return np.stack([prepare(pixels[sha256], embedding_preprocessing()) for sha256 in sha256s])

    contents = [
        Content(
            sha256,
            hashlib.sha256(some.tobytes()).hexdigest(),
            dhash(some).tobytes().hex(),
            side_px=min(some.shape[:2]),
        )
        for sha256, some in pixels.items()
    ]
    features = embed(Workspace(str(tmp_path)), sorted(pixels), Pictures())
    found = copies_among(contents, RULE, features=features)
    groups = group_by_pairs(len(contents), found.pairs.joined)
    group_of = {names[one.sha256]: int(group) for one, group in zip(contents, groups, strict=True)}
    assert len(found.pairs.asked) == 0
    assert found.index.limits.agreement == RULE.min_agreement
    assert len(np.unique(groups)) == 199
    for a, b in (("Y160", "Y50"), ("Y112", "Y146"), ("Y163", "Y49"), ("Y255", "Y30"), ("Y195", "Y26")):
        assert group_of[f"yes/{a}"] == group_of[f"yes/{b}"]
    assert group_of["no/38 no"] != group_of["no/49 no"]
    labels: dict[int, set[str]] = {}
    for name, group in group_of.items():
        labels.setdefault(group, set()).add(name.partition("/")[0])
    assert all(len(found_labels) == 1 for found_labels in labels.values())
