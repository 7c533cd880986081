"""The demo data set: deterministic, whole or absent, and without a shortcut between the classes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score

from tasks.copies.duplicates import dhash
from tasks.demo.data_set import DemoSummary, make_demo
from tasks.demo.plan import EXACT_COPIES, NEAR_COPIES, WRONG_LABELS, plan
from tasks.demo.settings import N_NO, N_YES
from tasks.errors import ConfigError, DataError, WorkspaceError
from tasks.images.decode import decode
from tasks.images.reject_reasons import ImageRejected, RejectReason

pytest.importorskip("nibabel", reason="needs the demo extra")
pytest.importorskip("nilearn", reason="needs the demo extra")


def make_small(folder: Path, seed: int) -> DemoSummary:
    return make_demo(folder, seed, n_no=6, n_yes=9)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def grey(path: Path) -> npt.NDArray[np.uint8]:
    return decode(path.read_bytes()).pixels[..., 0]


def record(summary: DemoSummary) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((summary.images.parent / "demo.json").read_text())
    return read


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    """A small set; tests only read it."""
    return make_small(tmp_path_factory.mktemp("small") / "demo", seed=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    """The set that `lightbox demo` makes; tests only read it."""
    return make_demo(tmp_path_factory.mktemp("whole") / "demo")


@given(seed=st.integers(0, 2**32), n_no=st.integers(2, 120), n_yes=st.integers(3, 180))
@settings(deadline=None, max_examples=25)
def test_plan_holds_what_was_asked_for(seed: int, n_no: int, n_yes: int) -> None:
    entries = plan(seed, n_no, n_yes)
    by_path = {entry.path: entry for entry in entries}
    labels = [entry.path.split("/")[0] for entry in entries]
    stems = {Path(entry.path).stem.casefold() for entry in entries}

    assert entries == plan(seed, n_no, n_yes)
    assert (labels.count("no"), labels.count("yes")) == (n_no, n_yes)
    assert len(by_path) == len(stems) == n_no + n_yes
    assert [entry.kind for entry in entries].count("corrupt") == 1
    for entry in entries:
        assert (entry.path.split("/")[0] != entry.spec.label) == (entry.kind == "wrong_label")
        if entry.kind in ("exact_copy", "near_copy"):
            assert entry.source is not None
            source = by_path[entry.source]
            assert source.kind == "slice"
            assert source.spec == entry.spec
        else:
            assert entry.source is None
    originals = [entry.spec.stream for entry in entries if entry.source is None]
    assert len(set(originals)) == len(originals)


def test_plan_of_the_full_set_has_the_promised_copies() -> None:
    kinds = [entry.kind for entry in plan(0, N_NO, N_YES)]
    assert len(kinds) == 253
    assert kinds.count("exact_copy") == EXACT_COPIES
    assert kinds.count("near_copy") == NEAR_COPIES
    assert kinds.count("corrupt") == 1
    assert kinds.count("wrong_label") == WRONG_LABELS - 1  # rounded down in each class


@pytest.mark.parametrize(("seed", "n_no", "n_yes"), [(0, 1, 3), (0, 2, 2), (-1, 5, 5), (0, 5, 10**6)])
def test_impossible_sets_are_refused(tmp_path: Path, seed: int, n_no: int, n_yes: int) -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        make_demo(tmp_path / "demo", seed, n_no=n_no, n_yes=n_yes)
    assert list(tmp_path.iterdir()) == []


def test_same_seed_gives_the_same_bytes(small: DemoSummary, tmp_path: Path) -> None:
    again = make_small(tmp_path / "again", seed=3)
    assert contents(again.images.parent) == contents(small.images.parent)


def test_another_seed_gives_other_images(small: DemoSummary, tmp_path: Path) -> None:
    other = make_small(tmp_path / "other", seed=4)
    assert not set(contents(other.images).values()) & set(contents(small.images).values())


def test_a_set_that_is_there_is_reused(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = make_demo(folder, seed=1, n_no=2, n_yes=3)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    calls: list[tuple[int, int | None, str]] = []
    second = make_demo(folder, 1, lambda *call: calls.append(call), n_no=2, n_yes=3)
    assert not first.reused
    assert second == first.model_copy(update={"reused": True})
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert calls == [(5, 5, "images")]


def test_a_damaged_set_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    summary = make_demo(folder, n_no=2, n_yes=3)
    whole = contents(folder)
    next((summary.images / "no").iterdir()).write_bytes(b"damaged")
    next(summary.masks.iterdir()).unlink()
    assert not make_demo(folder, n_no=2, n_yes=3).reused
    assert contents(folder) == whole


def test_another_seed_replaces_the_set(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    make_demo(folder, seed=0, n_no=2, n_yes=3)
    summary = make_demo(folder, seed=1, n_no=3, n_yes=3)
    assert (summary.seed, summary.n_no, summary.reused) == (1, 3, False)
    assert len(list((summary.images / "no").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    make_demo(folder, n_no=2, n_yes=3)
    (folder / "images" / "no" / "mine.jpg").write_bytes(b"mine")
    before = contents(folder)
    with pytest.raises(WorkspaceError, match=r"images/no/mine\.jpg"):
        make_demo(folder, seed=1, n_no=2, n_yes=3)
    assert contents(folder) == before
    assert make_demo(folder, n_no=2, n_yes=3).reused


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(WorkspaceError, match="is a file"):
        make_demo(tmp_path / "demo", n_no=2, n_yes=3)
    with pytest.raises(WorkspaceError, match="cannot be written"):
        make_demo(tmp_path / "demo" / "below", n_no=2, n_yes=3)


def test_a_failed_generation_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int | None, text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "demo", 0, stop, n_no=2, n_yes=3)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_generation_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from tasks.demo.data_set import make_demo\n"
        "kill = lambda done, *_: os.kill(os.getpid(), signal.SIGKILL) if done == 3 else None\n"
        "make_demo(pathlib.Path(sys.argv[1]), 0, kill, n_no=2, n_yes=3)\n"
    )
    folder = tmp_path / "demo"
    killed = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert killed.returncode == -9
    assert not folder.exists()
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    (abandoned,) = tmp_path.iterdir()
    os.utime(abandoned, (0, 0))
    assert not make_demo(folder, n_no=2, n_yes=3).reused
    assert list(tmp_path.iterdir()) == [folder]


def test_without_the_extra_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(DataError, match=r"lightbox\[demo\]"):
        make_demo(tmp_path / "demo", n_no=2, n_yes=3)
    assert list(tmp_path.iterdir()) == []


def test_readme_says_that_lesions_are_simulated(small: DemoSummary) -> None:
    text = (small.images.parent / "README.txt").read_text()
    assert "SIMULATED" in text
    assert small.notice in text
    assert "Copyright (C) 1993-2004 Louis Collins" in small.notice


@pytest.mark.slow
def test_the_whole_set_is_what_it_says(whole: DemoSummary) -> None:
    files = {path.relative_to(whole.images).as_posix(): path for path in whole.images.rglob("*.*")}
    rejected = {}
    modes, formats, sides = set(), set(), []
    for name, path in files.items():
        try:
            decoded = decode(path.read_bytes())
        except ImageRejected as rejection:
            rejected[name] = rejection.reason
            continue
        modes.add(decoded.mode)
        formats.add(decoded.format)
        sides.append(max(decoded.width, decoded.height))

    assert len(list((whole.images / "no").iterdir())) == N_NO
    assert len(list((whole.images / "yes").iterdir())) == N_YES
    assert list(rejected.values()) == [RejectReason.truncated]
    assert len(files) - len(set(contents(whole.images).values())) == EXACT_COPIES == whole.exact_copies
    assert modes >= {"RGB", "L", "RGBA", "P"}
    assert formats == {"JPEG", "PNG"}
    assert min(sides) < 170
    assert max(sides) > 550
    assert any(" " in name for name in files)
    assert any(name.endswith(".JPG") for name in files)
    assert any(
        path.suffix.lower() != ".png" and path.read_bytes().startswith(b"\x89PNG") for path in files.values()
    )


@pytest.mark.slow
def test_near_copies_show_the_same_slice_and_others_do_not(whole: DemoSummary) -> None:
    entries = record(whole)["images"]

    def thumbnail(name: str) -> npt.NDArray[np.float64]:
        small_image = Image.fromarray(grey(whole.images / name)).resize((48, 48))
        values = np.asarray(small_image, dtype=np.float64).ravel()
        return np.asarray((values - values.mean()) / values.std())

    copies = [entry for entry in entries if entry["kind"] == "near_copy"]
    assert len(copies) == NEAR_COPIES == whole.near_copies
    for entry in copies:
        copy, source = whole.images / entry["path"], whole.images / entry["source"]
        assert copy.read_bytes() != source.read_bytes()
        assert thumbnail(entry["path"]) @ thumbnail(entry["source"]) / 48**2 > 0.6
    originals = [entry["path"] for entry in entries if entry["kind"] == "slice"]
    hashes = np.unpackbits(
        np.stack([dhash(decode((whole.images / p).read_bytes()).pixels) for p in originals]), axis=1
    )
    distances = (hashes[:, None] != hashes[None]).sum(axis=2)
    assert distances[np.triu_indices(len(originals), 1)].min() > 20


@pytest.mark.slow
def test_masks_stand_where_the_lesions_are(whole: DemoSummary) -> None:
    brighter = []
    readable = [entry for entry in record(whole)["images"] if entry["kind"] != "corrupt"]
    for entry in readable:
        mask_path = whole.masks / f"{Path(entry['path']).stem}.png"
        shows_a_lesion = entry["path"].startswith("yes/") != (entry["kind"] == "wrong_label")
        assert mask_path.exists() == shows_a_lesion
        if not mask_path.exists():
            continue
        assert entry["lesions"]
        pixels, mask = grey(whole.images / entry["path"]), np.asarray(Image.open(mask_path))
        assert mask.shape == pixels.shape
        assert set(np.unique(mask)) == {0, 255}
        assert 0.0005 < (mask > 0).mean() < 0.35
        solid = all(lesion["kind"] == "solid" and lesion["strength"] > 0.7 for lesion in entry["lesions"])
        if solid and entry["contrast"] in ("t1_enhanced", "flair"):
            tissue = (mask == 0) & (pixels > 40)
            brighter.append(pixels[mask > 0].mean() / np.median(pixels[tissue]))
    assert len(list(whole.masks.iterdir())) == sum(bool(entry["lesions"]) for entry in readable)
    assert len(brighter) > 10
    assert np.mean(np.array(brighter) > 1.15) > 0.9


@pytest.mark.slow
def test_no_fact_about_the_file_tells_the_classes_apart(whole: DemoSummary) -> None:
    labels, facts = [], []
    for path in sorted(whole.images.rglob("*.*")):
        data = path.read_bytes()
        try:
            decoded = decode(data)
        except ImageRejected:
            continue
        values = decoded.pixels[..., 0]
        labels.append(path.parent.name == "yes")
        facts.append(
            {
                "width": decoded.width,
                "height": decoded.height,
                "aspect ratio": decoded.width / decoded.height,
                "bytes": len(data),
                "bytes a pixel": len(data) / values.size,
                "mean": values.mean(),
                "spread": values.std(),
                "median": np.median(values),
                "95th percentile": np.percentile(values, 95),
                "maximum": values.max(),
                "dark share": (values < 20).mean(),
                "bright share": (values > 200).mean(),
                "PNG": decoded.format == "PNG",
                "grey": decoded.mode == "L",
                "alpha": decoded.mode == "RGBA",
                "upper case": path.suffix.isupper(),
                "space in the name": " " in path.name,
            }
        )
    aucs = {name: roc_auc_score(labels, [fact[name] for fact in facts]) for name in facts[0]}
    assert {name: auc for name, auc in aucs.items() if abs(auc - 0.5) > 0.1} == {}
