"""Which images a person should look at, and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tasks.labelling.consensus import SETTLED, Verdict

Reason = Literal[
    "disputed",
    "second_opinion",
    "conflict",
    "copy",
    "suspect",
    "uncertain",
    "unlike",
    "random",
    "unlabelled",
]
REASONS: Final[tuple[Reason, ...]] = (
    "disputed",
    "second_opinion",
    "conflict",
    "copy",
    "suspect",
    "uncertain",
    "unlike",
    "random",
    "unlabelled",
)
"""The first one that holds of an image; also the order in which they are asked, except that disputes go to a review and
that unlabelled ones drawn at random stand among those that the model chose."""

WORDS: Final[Mapping[Reason, str]] = {
    "disputed": "people disagree: settle it",
    "second_opinion": "a further opinion is wanted",
    "conflict": "the image, or a copy of it, came with several labels",
    "copy": "it may be a copy of an image of another patient or with another label",
    "suspect": "its label is doubtful",
    "uncertain": "the served model was not sure of it",
    "unlike": "it is unlike the images that the model learnt from",
    "random": "",
    "unlabelled": "",
}
"""What people read above the image: why it is asked, never which label is doubted."""

SUGGESTED: Final = frozenset[Reason]({"unlabelled"})
"""Only here does the machine say what it thinks: a second look is worth nothing when it is told the answer."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A content that a person should look at."""

    sha256: str
    path: str
    reason: Reason


def find_candidates(
    given: Mapping[str, frozenset[str]],
    paths: Mapping[str, str],
    verdicts: Mapping[str, Verdict],
    *,
    copies: Sequence[frozenset[str]] = (),
    likely_copies: Iterable[frozenset[str]] = (),
    suspects: Iterable[str] = (),
    uncertain: Iterable[str] = (),
    unlike: Iterable[str] = (),
) -> list[Candidate]:
    """The contents to ask about, by reason and then by path; what is settled is never asked again.

    `given` has the labels that came with each content, none where it is unlabelled; `paths` its first path. `copies`
    are sets of contents that show the same: where they carry different labels, all of them are asked about; so are
    `likely_copies`, of which pictures alone do not say whether they show the same.
    """
    label_now = {sha256: _label_now(labels, verdicts.get(sha256)) for sha256, labels in given.items()}
    contradicting: set[str] = set()
    for group in copies:
        known = [sha256 for sha256 in group if label_now.get(sha256)]
        if len(frozenset().union(*(label_now[sha256] for sha256 in known))) > 1:
            contradicting.update(known)
    alike = frozenset().union(*likely_copies)
    doubted, unsure, strange = frozenset(suspects), frozenset(uncertain), frozenset(unlike)
    found = []
    for sha256, labels in given.items():
        verdict = verdicts.get(sha256)
        if verdict is not None and verdict.state in SETTLED:
            continue
        holds: dict[Reason, bool] = {
            "disputed": verdict is not None and verdict.state == "disputed",
            "second_opinion": verdict is not None and bool(verdict.votes),
            "conflict": len(labels) > 1 or sha256 in contradicting,
            "copy": sha256 in alike,
            "suspect": sha256 in doubted,
            "uncertain": sha256 in unsure and not labels,
            "unlike": sha256 in strange and not labels,
            "unlabelled": not labels,
        }
        reason = next((one for one in REASONS if holds.get(one)), None)
        if reason is None:
            continue
        found.append(Candidate(sha256, paths[sha256], reason))
    return sorted(found, key=lambda one: (REASONS.index(one.reason), one.path))


def _label_now(given: frozenset[str], verdict: Verdict | None) -> frozenset[str]:
    if verdict is None or verdict.state not in SETTLED:
        return given
    return frozenset() if verdict.label is None else frozenset({verdict.label})
