"""Who is asked about, and why; what is settled never again."""

from support.samples.decisions import digest, say

from tasks.labelling.candidates import find_candidates
from tasks.labelling.consensus import verdicts
from tasks.labelling.settings import AgreementRule

NAMES = "abcdefghi"
GIVEN = {
    digest(name): frozenset(labels)
    for name, labels in {
        "a": [],
        "b": ["no", "yes"],
        "c": ["no"],
        "d": ["yes"],
        "e": ["no"],
        "f": ["yes"],
        "g": [],
        "h": [],
        "i": ["no"],
    }.items()
}
PATHS = {digest(name): f"{name}.png" for name in NAMES}


def reasons(*decisions: object, **more: object) -> dict[str, str]:
    found = verdicts(decisions, AgreementRule(min_labellers=1, max_labellers=2))  # type: ignore[arg-type]
    return {one.path[0]: one.reason for one in find_candidates(GIVEN, PATHS, found, **more)}  # type: ignore[arg-type]


def test_unlabelled_conflicting_and_doubtful_images_are_asked_about() -> None:
    copies = [frozenset({digest("c"), digest("d")}), frozenset({digest("e"), digest("i")})]
    found = reasons(
        copies=copies, suspects=[digest("f"), digest("b")], uncertain=[digest("g")], unlike=[digest("h")]
    )
    assert found == {
        "b": "conflict",
        "c": "conflict",
        "d": "conflict",
        "f": "suspect",
        "g": "uncertain",
        "h": "unlike",
        "a": "unlabelled",
    }
    assert list(found) == ["b", "c", "d", "f", "g", "h", "a"]


def test_likely_copies_are_asked_about_where_no_label_contradicts() -> None:
    likely = [frozenset({digest("c"), digest("d")}), frozenset({digest("b"), digest("i")})]
    found = reasons(likely_copies=likely, suspects=[digest("c"), digest("f")])
    assert {name: found[name] for name in "bcdif"} == {
        "b": "conflict",
        "c": "copy",
        "d": "copy",
        "i": "copy",
        "f": "suspect",
    }
    assert "i" not in reasons(say("ann", "no", "i"), likely_copies=likely)


def test_what_is_settled_is_not_asked_again_and_settles_its_copies_dispute() -> None:
    copies = [frozenset({digest("c"), digest("d")})]
    settled = (say("ann", "yes", "c"), say("ann", "no", "b"), say("ann", None, "a"))
    assert reasons(*settled, copies=copies, suspects=[digest("c")]) == {"g": "unlabelled", "h": "unlabelled"}


def test_disputes_come_first_and_copies_that_people_tell_apart_are_asked_about() -> None:
    copies = [frozenset({digest("e"), digest("i")})]
    found = reasons(say("ann", "no", "a"), say("bob", "yes", "a"), say("ann", "yes", "e"), copies=copies)
    assert found["a"] == "disputed" and found["i"] == "conflict" and "e" not in found
