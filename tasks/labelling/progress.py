"""How far a labelling is: in all, by class, by person; how far people agree, and how often the machine was right."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from tasks.evaluation.intervals import wilson
from tasks.labelling.agreement import Agreement, agreement
from tasks.labelling.consensus import SETTLED, Verdict
from tasks.labelling.decision import Decision
from tasks.record import Frozen


class PersonFigures(Frozen):
    """What one person did."""

    name: str = Field(description="Who.")
    labelled: int = Field(ge=0, description="Images with a class as the latest answer.")
    rejected: int = Field(ge=0, description="Images rejected.")
    skipped: int = Field(ge=0, description="Images skipped, and not answered since.")
    reviewed: int = Field(ge=0, description="Disputes settled.")
    overruled: int = Field(ge=0, description="Answers that differ from what was settled.")
    median_seconds: float | None = Field(description="Time an answer took, where it is known.")


class SuggestionFigures(Frozen):
    """How the machine's suggestions fared with people, who saw them: agreement flatters where people just confirm."""

    judged: int = Field(ge=0, description="Suggested images that people settled since.")
    confirmed: int = Field(ge=0, description="Of these, settled as suggested.")
    lower: float | None = Field(description="Lower end of the share's 95 % interval.")


class LabellingProgress(Frozen):
    """A labelling in figures. An image is a distinct content."""

    asked: int = Field(ge=0, description="Images that people are or were asked about.")
    labelled: int = Field(ge=0, description="Settled with a class.")
    rejected: int = Field(ge=0, description="Settled as not usable.")
    to_go: int = Field(ge=0, description="Not settled, disputes left out.")
    partly: int = Field(
        ge=0, description="Of these, images that somebody answered and that need more answers."
    )
    skipped: int = Field(ge=0, description="Of these, images that were skipped and that nobody answered.")
    to_review: int = Field(ge=0, description="Disputed: a review decides.")
    suggested: int = Field(ge=0, description="Of those to go, images with a suggestion.")
    by_reason: dict[str, int] = Field(description="Images to go and to review, by why they are asked.")
    by_class: dict[str, int] = Field(description="Settled images of each class.")
    people: tuple[PersonFigures, ...] = Field(description="By person.")
    agreement: Agreement = Field(description="How far people agree beyond chance.")
    suggestions: SuggestionFigures = Field(description="How the machine fared.")


def labelling_progress(
    decisions: Sequence[Decision],
    verdicts: Mapping[str, Verdict],
    queue: Mapping[str, str],
    suggested: Iterable[str],
    classes: Sequence[str],
) -> LabellingProgress:
    """Count. `queue` has the reason of each content that was to be asked when it was last chosen."""
    settled = {sha: one for sha, one in verdicts.items() if one.state in SETTLED}
    disputed = {sha for sha, one in verdicts.items() if one.state == "disputed"}
    started = {sha for sha, one in verdicts.items() if one.votes or one.skipped_by}
    to_go = ((set(queue) | started) - set(settled)) - disputed
    labels = Counter(one.label for one in settled.values())
    states = Counter(verdicts[sha].state for sha in to_go if sha in verdicts)
    reasons = Counter(
        "disputed" if sha in disputed else queue.get(sha, "second_opinion") for sha in to_go | disputed
    )
    return LabellingProgress(
        asked=len(to_go) + len(disputed) + len(settled),
        labelled=sum(one.state == "labelled" for one in settled.values()),
        rejected=sum(one.state == "rejected" for one in settled.values()),
        to_go=len(to_go),
        partly=sum(bool(verdicts[sha].votes) for sha in to_go if sha in verdicts),
        skipped=states["skipped"],
        to_review=len(disputed),
        suggested=len(set(suggested) & to_go),
        by_reason=dict(sorted(reasons.items())),
        by_class={name: labels[name] for name in classes},
        people=_people(decisions, verdicts),
        agreement=agreement(verdicts.values()),
        suggestions=_suggestions(decisions, settled),
    )


def _people(decisions: Sequence[Decision], verdicts: Mapping[str, Verdict]) -> tuple[PersonFigures, ...]:
    found = []
    for name in sorted({one.by for one in decisions if one.source == "person"}):
        own = [one for one in decisions if one.by == name and one.source == "person"]
        votes = [(verdict.votes[name], verdict) for verdict in verdicts.values() if name in verdict.votes]
        seconds = sorted(one.seconds for one in own if one.seconds is not None)
        found.append(
            PersonFigures(
                name=name,
                labelled=sum(vote.answer == "label" for vote, _ in votes),
                rejected=sum(vote.answer == "reject" for vote, _ in votes),
                skipped=sum(name in verdict.skipped_by for verdict in verdicts.values()),
                reviewed=len({one.sha256 for one in own if one.review and one.answer != "skip"}),
                overruled=sum(
                    verdict.state in SETTLED and vote.label != verdict.label for vote, verdict in votes
                ),
                median_seconds=seconds[len(seconds) // 2] if seconds else None,
            )
        )
    return tuple(found)


def _suggestions(decisions: Sequence[Decision], settled: Mapping[str, Verdict]) -> SuggestionFigures:
    """The last suggestion before the first answer of a person is the one that was seen."""
    seen: dict[str, str | None] = {}
    answered: set[str] = set()
    for one in decisions:
        if one.source == "person" and one.answer != "skip":
            answered.add(one.sha256)
        elif one.source == "machine" and one.sha256 not in answered:
            seen[one.sha256] = one.label
    judged = [(label, settled[sha].label) for sha, label in seen.items() if sha in settled]
    confirmed = sum(label == truth for label, truth in judged)
    lower = wilson(confirmed / len(judged), len(judged))[0] if judged else None
    return SuggestionFigures(judged=len(judged), confirmed=confirmed, lower=lower)
