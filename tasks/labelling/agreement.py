"""How far people agree beyond chance: Cohen's kappa for two, Fleiss' for more."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Literal

from pydantic import Field

from tasks.labelling.consensus import Verdict
from tasks.record import Frozen


class Agreement(Frozen):
    """Agreement of the people who looked at the same images; reviews are left out."""

    kind: Literal["cohen", "fleiss"] | None = Field(
        description="Cohen's kappa with two people, else Fleiss'."
    )
    kappa: float | None = Field(
        description="1: always the same; 0: no more than by chance. None where it is not defined."
    )
    images: int = Field(ge=0, description="Images that at least two people answered.")
    agreed: int = Field(ge=0, description="Of these, images that all answered alike.")
    people: int = Field(ge=0, description="People who answered them.")

    @property
    def words(self) -> str:
        """In a sentence; empty where there is no kappa."""
        if self.kappa is None:
            return ""
        kind = "Cohen's" if self.kind == "cohen" else "Fleiss'"
        return (
            f"{kind} kappa {self.kappa:.2f}: {self.people} people agree on {self.agreed} of the {self.images} images "
            "that they share"
        )


def agreement(verdicts: Iterable[Verdict]) -> Agreement:
    """Over all images with two votes or more; rejection is an answer like a class."""
    shared = [
        {name: _answer(vote.label) for name, vote in verdict.votes.items()}
        for verdict in verdicts
        if len(verdict.votes) > 1
    ]
    people = sorted(set(chain.from_iterable(shared)))
    if not shared:
        return Agreement(kind=None, kappa=None, images=0, agreed=0, people=0)
    kind: Literal["cohen", "fleiss"] = "cohen" if len(people) == 2 else "fleiss"
    kappa = cohen_kappa(shared, people) if kind == "cohen" else fleiss_kappa(shared)
    agreed = sum(len(set(answers.values())) == 1 for answers in shared)
    return Agreement(kind=kind, kappa=kappa, images=len(shared), agreed=agreed, people=len(people))


def cohen_kappa(answers: Sequence[Mapping[str, str]], people: Sequence[str]) -> float | None:
    """Cohen 1960, "A coefficient of agreement for nominal scales". None where only one answer was ever given."""
    first, second = ([one[name] for one in answers] for name in people)
    n = len(answers)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    counts, others = Counter(first), Counter(second)
    expected = sum(counts[answer] * others[answer] for answer in counts) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def fleiss_kappa(answers: Sequence[Mapping[str, str]]) -> float | None:
    """Fleiss 1971, "Measuring nominal scale agreement among many raters", each image weighing the same.

    Images may have different numbers of raters (at least 2): the share of agreeing pairs is taken image by image, and
    the answers' shares over all ratings (Gwet 2014, "Handbook of Inter-Rater Reliability", section 2.4). None where
    only one answer was ever given.
    """
    counted = [Counter(one.values()) for one in answers]
    pairs = [_agreeing_pairs(counts) / (counts.total() * (counts.total() - 1)) for counts in counted]
    totals: Counter[str] = sum(counted, Counter())
    expected = sum((count / totals.total()) ** 2 for count in totals.values())
    return None if expected == 1 else (sum(pairs) / len(pairs) - expected) / (1 - expected)


def _agreeing_pairs(counts: Counter[str]) -> int:
    return sum(count * (count - 1) for count in counts.values())


def _answer(label: str | None) -> str:
    return "" if label is None else f"class {label}"
