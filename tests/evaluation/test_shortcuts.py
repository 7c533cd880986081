"""Shortcuts and class balance: what is there is found and told in words, what is not there raises no warning."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.processor_time import allowed

from tasks.evaluation.balance import class_balance
from tasks.evaluation.shortcuts import ALL_FACTS, WARN_ABOVE, Shortcut, measure_shortcuts, warnings_of
from tasks.images.decode import decode


def _rows(n: int, n_classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Distinct contents whose facts say nothing of the label; two images a group, a group in one fold."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // 2
    side = rng.integers(200, 400, (2, n))
    return pd.DataFrame(
        {
            "sha256": [f"{i:064d}" for i in rng.permutation(n)],
            "format": rng.choice(["JPEG", "PNG"], n),
            "mode": "RGB",
            "width": side[0],
            "height": side[1],
            "size_bytes": rng.integers(5_000, 50_000, n),
            "mean_intensity": rng.normal(60, 20, n),
            "border_intensity": rng.normal(20, 5, n),
            "label": [f"c{k}" for k in rng.permutation(groups[::2]).repeat(2)[:n] % n_classes],
            "group": [f"g{g}" for g in groups],
            "fold": groups % 5,
            "straddles": "",
        }
    )


def _by_fact(rows: pd.DataFrame, positive: str | None = "c1") -> dict[str, Shortcut]:
    classes = tuple(sorted(rows["label"].unique()))
    return {found.fact: found for found in measure_shortcuts(rows, classes, positive).shortcuts}


def test_facts_that_say_nothing_raise_no_warning() -> None:
    found = _by_fact(_rows(300))
    assert "colour mode" not in found, "the same for all images"
    assert len(found) == 7 and ALL_FACTS in found
    assert not warnings_of(list(found.values()))
    assert all(shortcut.auc.lower < 0.55 for shortcut in found.values() if shortcut.auc.lower)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ("file format", "the kind of file"),
        ("aspect ratio", "the picture's shape"),
        ("mean intensity", "mean brightness"),
        ("border intensity", "edge"),
        ("bytes per pixel", "compressed"),
        ("image size", "width and height"),
    ],
)
def test_each_planted_shortcut_is_found_and_named(fact: str, words: str) -> None:
    rows = _rows(300)
    positive = rows["label"] == "c1"
    usually = positive ^ (np.random.default_rng(1).random(300) < 0.1)
    if fact == "file format":
        rows["format"] = np.where(usually, "PNG", "JPEG")
    elif fact == "aspect ratio":
        rows["width"] = np.where(usually, rows["height"] * 1.4, rows["height"]).astype(int)
    elif fact == "bytes per pixel":
        rows["size_bytes"] *= np.where(usually, 10, 1)
    elif fact == "image size":
        # One exact size, in the middle of all others: no trend in the number of pixels would find it.
        rows.loc[usually, ["width", "height"]] = 300
    else:
        rows[fact.replace(" ", "_")] += np.where(usually, 80, 0)
    shortcut = _by_fact(rows)[fact]
    assert shortcut.auc.value is not None and shortcut.auc.value > 0.8
    assert words in shortcut.warning and f"{shortcut.auc.value:.2f}" in shortcut.warning
    assert "collect images of all classes from the same" in shortcut.warning


def test_a_middle_that_differs_from_both_ends_is_found() -> None:
    rows = _rows(300)
    rows["mean_intensity"] = np.where(rows["label"] == "c1", 60.0, 0.0) + np.random.default_rng(0).normal(
        0, 5, 300
    )
    rows.loc[(rows["label"] == "c0") & (rows.index % 4 < 2), "mean_intensity"] += 120
    found = _by_fact(rows)["mean intensity"].auc
    assert found.lower is not None and found.lower > 0.9


def test_copies_in_the_same_fold_do_not_help() -> None:
    """Each group its own brightness: a model that saw a copy could tell the label, an honest one cannot."""
    rows = _rows(200)
    by_group = np.random.default_rng(3).normal(60, 20, 100)
    rows["mean_intensity"] = by_group[np.arange(200) // 2]
    found = _by_fact(rows)["mean intensity"].auc
    assert found.lower is not None and found.lower < WARN_ABOVE


def test_many_classes_have_a_macro_figure_and_thousands_stay_quick() -> None:
    rows = _rows(400, n_classes=4)
    rows["mean_intensity"] = rows["label"].str[1:].astype(int) * 40.0 + np.random.default_rng(0).normal(
        0, 10, 400
    )
    found = _by_fact(rows, None)["mean intensity"].auc
    assert found.lower is not None and found.lower > 0.75
    started = time.process_time()
    assert _by_fact(_rows(20_000, n_classes=2_000), None)
    assert time.process_time() - started < allowed(20)


def test_brain_mri_has_the_shortcuts_that_are_known_of_it(brain_mri: Path) -> None:
    """Raw AUC of the mean intensity 0.76 and of the aspect ratio 0.73; less by honest folds."""
    rows = []
    for number, path in enumerate(sorted(brain_mri.glob("*/*"))):
        data = path.read_bytes()
        pixels = decode(data)
        height, width, _ = pixels.pixels.shape
        rows.append(
            (
                f"{number:064d}",
                pixels.format,
                pixels.mode,
                width,
                height,
                len(data),
                pixels.pixels.mean(),
                path,
            )
        )
    names = ["sha256", "format", "mode", "width", "height", "size_bytes", "mean_intensity", "path"]
    frame = pd.DataFrame(rows, columns=names).assign(border_intensity=0.0, straddles="")
    frame["label"] = [path.parent.name for path in frame["path"]]
    frame["group"], frame["fold"] = frame["sha256"], frame.index % 5
    found = {shortcut.fact: shortcut for shortcut in measure_shortcuts(frame, ("no", "yes"), "yes").shortcuts}
    for fact, raw in (("mean intensity", 0.76), ("aspect ratio", 0.73)):
        value = found[fact].auc.value
        assert value is not None and raw - 0.06 < value < raw + 0.03
        assert found[fact].warning
    assert found[ALL_FACTS].warning


def test_balance_counts_groups_and_warns_in_words() -> None:
    labels = pd.Series(["a"] * 300 + ["b"] * 60 + ["c"] * 12)
    groups = pd.Series([f"{i // 2}" for i in range(372)])
    found = class_balance(labels, groups)
    assert [(row.name, row.images, row.groups) for row in found.classes] == [
        ("a", 300, 150),
        ("b", 60, 30),
        ("c", 12, 6),
    ]
    assert found.ratio == 25
    few, unequal = found.warnings
    assert "c (6)" in few and "b (" not in few
    assert "always answering a would be right for 81\u00a0% of the images" in unequal
    assert class_balance(labels[:360], groups[:360]).warnings == ()


def test_of_thousands_of_small_classes_a_few_are_named() -> None:
    labels = pd.Series([f"class {i:04d}" for i in range(2_000)])
    (warning,) = class_balance(labels, labels).warnings
    assert len(warning) < 400 and "and 1995 more classes" in warning
