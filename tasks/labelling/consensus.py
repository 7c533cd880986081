"""From decisions to one verdict an image: review over people, people over the machine, later over earlier."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tasks.labelling.decision import Decision
from tasks.labelling.settings import AgreementRule

State = Literal["labelled", "rejected", "disputed", "skipped", "open"]
SETTLED: Final = frozenset[State]({"labelled", "rejected"})


@dataclass(frozen=True)
class Suggestion:
    """The machine's latest word."""

    label: str
    probability: float | None
    model: str


@dataclass(frozen=True)
class Verdict:
    """What is decided of one content.

    `votes` has each person's latest answer but skips, by person; `reviewed_by` whose review it was, if any.
    """

    state: State
    label: str | None
    votes: Mapping[str, Decision]
    reviewed_by: str | None
    skipped_by: frozenset[str]
    suggestion: Suggestion | None
    labellers_wanted: int

    @property
    def why_without_label(self) -> str:
        """Why the image has no label, for its row among the rejects."""
        if self.state == "rejected":
            names = [self.reviewed_by] if self.reviewed_by else sorted(_by_answer(self.votes)[None])
            return f"rejected by {', '.join(names)}"
        counts = sorted((label or "rejected", len(names)) for label, names in _by_answer(self.votes).items())
        return (
            "disputed: " + ", ".join(f"{count} × {label}" for label, count in counts) + "; waits for a review"
        )


def verdicts(decisions: Iterable[Decision], rule: AgreementRule) -> dict[str, Verdict]:
    """The verdict on each content that somebody or something has decided on.

    A review decides alone, the latest one of several. Else each person has one vote, the latest answer. More than half
    of the votes, of at least `min_labellers`, decide; without a majority more people are wanted up to `max_labellers`,
    and then it is disputed. The machine never settles anything: it suggests.
    """
    by_content: dict[str, list[Decision]] = {}
    for decision in sorted(decisions, key=lambda decision: (decision.time, decision.id)):
        by_content.setdefault(decision.sha256, []).append(decision)
    return {sha256: _verdict(found, rule) for sha256, found in by_content.items()}


def _verdict(decisions: Sequence[Decision], rule: AgreementRule) -> Verdict:
    people = [one for one in decisions if one.source == "person"]
    reviews = [one for one in people if one.review and one.answer != "skip"]
    votes = {one.by: one for one in people if not one.review and one.answer != "skip"}
    skipped = frozenset(one.by for one in people if one.answer == "skip" and one.by not in votes)
    state, label, wanted = _settled(reviews[-1:] or list(votes.values()), len(reviews), rule)
    if state == "open" and not votes and skipped:
        state = "skipped"
    return Verdict(
        state=state,
        label=label,
        votes=votes,
        reviewed_by=reviews[-1].by if reviews else None,
        skipped_by=skipped,
        suggestion=_suggestion(decisions),
        labellers_wanted=wanted,
    )


def _settled(votes: Sequence[Decision], reviews: int, rule: AgreementRule) -> tuple[State, str | None, int]:
    least = 1 if reviews else rule.min_labellers
    if len(votes) < least:
        return "open", None, least
    label, most = Counter(vote.label for vote in votes).most_common(1)[0]
    if 2 * most > len(votes):
        return ("rejected" if label is None else "labelled"), label, 0
    if len(votes) < rule.max_labellers:
        return "open", None, len(votes) + 1
    return "disputed", None, 0


def _suggestion(decisions: Sequence[Decision]) -> Suggestion | None:
    said = [one for one in decisions if one.source == "machine" and one.label is not None]
    if not said:
        return None
    last = said[-1]
    assert last.label is not None  # noqa: S101 - filtered above
    return Suggestion(last.label, last.probability, last.by)


def _by_answer(votes: Mapping[str, Decision]) -> dict[str | None, list[str]]:
    answers: dict[str | None, list[str]] = {}
    for name, vote in votes.items():
        answers.setdefault(vote.label, []).append(name)
    return answers
