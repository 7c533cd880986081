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

    @property
    def words(self) -> str:
        """In a sentence."""
        counts = [
            f"{_counted(self.labelled, 'label', 'labels')} by {_counted(self.people, 'person', 'people')}"
        ]
        counts += [f"{self.rejected} rejected"] if self.rejected else []
        counts += [f"{self.disputed} disputed and without a label until a review"] if self.disputed else []
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
