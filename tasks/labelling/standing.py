"""What stands decided in a workspace, as the catalogue takes it."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from tasks.labelling.agreement import Agreement, agreement
from tasks.labelling.consensus import Verdict, verdicts
from tasks.labelling.decision import Decision, DecisionStore
from tasks.labelling.project import ProjectDocument
from tasks.labelling.settings import AgreementRule
from tasks.record import Frozen
from tasks.stores.workspace import Workspace


class LabelledByPeople(Frozen):
    """What people have decided of a data set, in figures."""

    labelled: int = Field(ge=0, description="Contents with a label that people gave.")
    rejected: int = Field(ge=0, description="Contents that people found not usable.")
    disputed: int = Field(ge=0, description="Contents that wait for a review: without a label until then.")
    people: int = Field(ge=0, description="People who answered.")
    agreement: Agreement = Field(description="How far they agree beyond chance.")
    at_random: int = Field(default=0, ge=0, description="Labelled contents that were drawn at random.")
    chosen: int = Field(
        default=0,
        ge=0,
        description="Labelled contents that were asked about for a reason: not a sample of all.",
    )
    confirmed: int = Field(
        default=0,
        ge=0,
        description="Labelled contents whose label the page suggested to a person who gave it.",
    )

    @property
    def words(self) -> str:
        """In a sentence."""
        counts = [
            f"{_counted(self.labelled, 'label', 'labels')} by {_counted(self.people, 'person', 'people')}"
        ]
        counts += [f"{self.rejected} rejected"] if self.rejected else []
        counts += [f"{self.disputed} disputed and without a label until a review"] if self.disputed else []
        counts += [f"{self.at_random} drawn at random"] if self.at_random else []
        counts += [f"{self.chosen} chosen by the machine or for a doubt"] if self.chosen else []
        counts += [f"{self.confirmed} suggested by the machine and confirmed"] if self.confirmed else []
        return ", ".join(counts) + (f". {self.agreement.words}" if self.agreement.words else "")


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


@dataclass(frozen=True)
class Standing:
    """All decisions about a data set, the verdict on each content, and the rule that leads from one to the other."""

    decisions: tuple[Decision, ...]
    rule: AgreementRule
    verdicts: Mapping[str, Verdict]

    @property
    def digest(self) -> str:
        """Changes when a verdict may."""
        told = self.rule.model_dump_json() + "\n".join(
            decision.id for decision in self.decisions if decision.source == "person"
        )
        return hashlib.sha256(told.encode()).hexdigest()

    def label_of(self, sha256: str, given: str | None) -> tuple[str | None, str]:
        """The label that counts for a content given as `given`, and why it has none where it has none."""
        verdict = self.verdicts.get(sha256)
        if verdict is None or verdict.state in ("open", "skipped"):
            return given, "no label"
        if verdict.state == "labelled":
            return verdict.label, ""
        return None, verdict.why_without_label

    @property
    def chosen(self) -> frozenset[str]:
        """Labelled contents that somebody was asked about for a reason, not at random: they are no sample of all."""
        return frozenset(
            sha256
            for sha256, verdict in self._labelled.items()
            if any(vote.reason not in (None, "random") for vote in verdict.votes.values())
        )

    @property
    def confirmed(self) -> frozenset[str]:
        """Labelled contents whose label a person gave after it had been suggested."""
        return frozenset(
            sha256
            for sha256, verdict in self._labelled.items()
            if any(vote.label == vote.suggested == verdict.label for vote in verdict.votes.values())
        )

    @property
    def _labelled(self) -> Mapping[str, Verdict]:
        return {sha256: one for sha256, one in self.verdicts.items() if one.state == "labelled"}

    def figures(self) -> LabelledByPeople | None:
        """None where people have decided nothing."""
        people = {decision.by for decision in self.decisions if decision.source == "person"}
        if not people:
            return None
        states = Counter(verdict.state for verdict in self.verdicts.values())
        return LabelledByPeople(
            labelled=states["labelled"],
            rejected=states["rejected"],
            disputed=states["disputed"],
            people=len(people),
            agreement=agreement(self.verdicts.values()),
            at_random=sum(
                any(vote.reason == "random" for vote in verdict.votes.values())
                for verdict in self._labelled.values()
            ),
            chosen=len(self.chosen),
            confirmed=len(self.confirmed),
        )


def read_standing(workspace: Workspace, name: str) -> Standing:
    """The decisions kept for a data set, by the labelling project's rule, or one labeller an image without a project.

    Raises:
        WorkspaceError: a file of decisions is damaged.
        LabellingError: the project's state is.
    """
    decisions = tuple(DecisionStore(workspace, name).read())
    document = ProjectDocument(workspace, name)
    rule = document.read().settings.agreement if document.exists() else AgreementRule()
    return Standing(decisions, rule, verdicts(decisions, rule))
