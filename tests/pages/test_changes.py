"""What changed between two versions, in words; near copies in an order in which people can check them."""

import itertools
from dataclasses import replace

import pandas as pd

from tasks.evaluation.intervals import Estimate
from tasks.pages.changes import VersionFacts, changes_between
from tasks.pages.copy_chains import copy_chains, copy_questions

BEFORE = VersionFacts(
    labels={"a": "no", "b": "no", "c": "yes", "d": "yes"},
    figures={"recall": Estimate(value=0.9, lower=0.85, upper=0.95, n=4)},
    recipe={"backbone": "lite0", "optimisation": {"epochs": 4, "rate": 3e-4}},
    threshold=0.41234,
    packages={"torch": "2.1"},
)


def _by_what(before: VersionFacts, after: VersionFacts) -> dict[str, tuple[str, str]]:
    return {change.what: (change.before, change.after) for change in changes_between(before, after)}


def test_the_same_version_has_no_change() -> None:
    assert changes_between(BEFORE, BEFORE) == []


def test_images_added_removed_and_relabelled_are_told_apart() -> None:
    after = replace(BEFORE, labels={"a": "no", "b": "yes", "c": "yes", "e": "yes", "f": "maybe"})
    found = _by_what(BEFORE, after)
    assert found["Images added"] == ("–", "2 (1 maybe, 1 yes)")
    assert found["Images removed"] == ("–", "1 (1 yes)")
    assert found["Images relabelled"] == ("–", "1 (1 no to yes)")
    assert found["Distinct images"] == ("4", "5")
    assert found["Distinct images of maybe"] == ("0", "1") and found["Distinct images of no"] == ("2", "1")
    assert _by_what(replace(BEFORE, labels=None), after)["Images"][0].startswith("no longer known")


def test_recipe_figures_threshold_and_packages() -> None:
    after = replace(
        BEFORE,
        figures={"recall": Estimate(value=0.95, lower=0.9, upper=0.99, n=4)},
        recipe={"backbone": "lite0", "optimisation": {"epochs": 8, "rate": 3e-4}, "views": 8},
        threshold=0.5,
        packages={"torch": "2.2"},
    )
    assert _by_what(BEFORE, after) == {
        "Recall, each on its own images": ("0.900 (0.850 to 0.950)", "0.950 (0.900 to 0.990)"),
        "Threshold": ("0.4123", "0.5"),
        "Recipe: optimisation, epochs": ("4", "8"),
        "Recipe: views": ("–", "8"),
        "Package: torch": ("2.1", "2.2"),
    }


def test_of_very_many_classes_some_are_named() -> None:
    many = {str(i): f"class {i}" for i in range(2_000)}
    found = _by_what(replace(BEFORE, labels={}), replace(BEFORE, labels=many))
    assert len(found) < 12 and found["1994 more classes"] == ("–", "other counts")
    assert len(found["Images added"][1]) < 120 and "and 1994 more" in found["Images added"][1]


def _pairs(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """(one, other, by, hash distance or agreement)."""
    return pd.DataFrame(
        {
            "sha256_a": [row[0] for row in rows],
            "sha256_b": [row[1] for row in rows],
            "path_a": [f"{row[0]}.png" for row in rows],
            "path_b": [f"{row[1]}.png" for row in rows],
            "by": [row[2] for row in rows],
            "hash_distance": [row[3] if row[2] == "hash" else 200 for row in rows],
            "agreement": [row[3] if row[2] == "features" else None for row in rows],
            "asked": [row[2] == "asked" for row in rows],
        }
    ).astype({"hash_distance": "Int64", "agreement": "Float64", "asked": "bool"})


def test_the_least_alike_stand_first_and_each_beside_its_copy() -> None:
    chains = copy_chains(
        _pairs(
            ("a", "b", "hash", 3),
            ("b", "c", "features", 0.9),
            ("a", "c", "features", 0.88),
            ("c", "d", "pixels", 0),
            ("p", "q", "hash", 12),
            ("x", "y", "key", 0),
            ("c", "p", "asked", 0),
        )
    )
    assert chains[0] == [("p", ""), ("q", "like p.png: 12 of 256 bits of their perceptual hashes differ")]
    (first, nothing), *others = chains[1]
    assert (first, nothing) == ("a", "")
    likes = "laid over it, block by block, at least {} % of the detail agrees"
    assert dict(others) == {
        "c": f"like a.png: {likes.format(88)}",
        "b": f"like c.png: {likes.format(90)}",
        "d": "the same pixels as c.png",
    }
    assert len(chains) == 2


def test_questions_stand_alone_the_likeliest_first() -> None:
    pairs = _pairs(("a", "b", "features", 0.7), ("c", "d", "features", 0.9), ("e", "f", "features", 0.95))
    pairs["asked"] = [True, True, False]
    assert [[digest for digest, _ in chain] for chain in copy_questions(pairs)] == [["c", "d"], ["a", "b"]]
    assert copy_questions(pairs)[1][1][1].startswith("like a.png: laid over it")
    assert [chain[0][0] for chain in copy_chains(pairs)] == ["e"]


def test_the_order_of_the_pairs_changes_nothing_and_a_path_may_hold_anything() -> None:
    rows = [("a", "b", "hash", 3), ("b", "c", "features", 0.9), ("d", "e", "hash", 1)]
    orders = [copy_chains(_pairs(*order)) for order in itertools.permutations(rows)]
    assert all(order == orders[0] for order in orders)
    assert copy_chains(_pairs(("{0}", "b", "hash", 3)))[0][1][1].startswith("like {0}.png")
    assert copy_chains(_pairs()) == []
