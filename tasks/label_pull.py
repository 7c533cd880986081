"""Pull labels: every answer that people entered in Label Studio becomes a decision in the workspace, once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import Field

from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.errors import LabellingError
from tasks.label_begin import document_of, studio_of
from tasks.labelling.decision import DIGEST, Decision, DecisionStore, decision_id
from tasks.labelling.label_studio import LabelStudio
from tasks.labelling.label_studio_records import Entered, Task
from tasks.labelling.project import REJECTED
from tasks.record import Record

NAMED: Final = 5


class Pulled(Record):
    """What came in."""

    answers: int = Field(ge=0, description="Answers that stand in Label Studio, skips and reviews included.")
    new: int = Field(ge=0, description="Of these, answers that were not known yet.")
    foreign_tasks: int = Field(
        ge=0, description="Tasks that somebody else put into the projects; left alone."
    )

    def in_words(self) -> str:
        """How many answers are new."""
        return f"{self.new} new answers, {self.answers} in all"


@stage("pull-labels", version=1, reusable=False)
def pull_labels(run: Run, restart: bool = False) -> Pulled:
    """Append to `labels/` what people answered since the last time, reviews marked as such.

    What is understood is kept first; then it is said what is not.

    Raises: LabellingError when the page was changed by hand (unless this is a restart, which puts it back) or somebody
        answered with a class that is none; LabelStudioUnavailable.
    """
    state = document_of(run).read()
    classes = set(state.settings.classes)
    decisions: list[Decision] = []
    unknown: Counter[str] = Counter()
    changed: list[str] = []
    foreign = 0
    with studio_of(state.settings) as studio:
        for project, review in ((state.project, False), (state.review_project, True)):
            if project is None or not studio.has_project(project):
                continue
            for task in studio.tasks(project):
                if not DIGEST.fullmatch(task.sha256):
                    foreign += 1
                    continue
                for entered in task.answers:
                    if entered.label is None or entered.label in classes or entered.skipped:
                        decisions.append(_decision(studio, project, task, entered, review))
                    else:
                        unknown[entered.label] += 1
            changed += _page_changes(studio, project, state.settings.classes)
    new = DecisionStore(run.open_workspace(), run.name).append(decisions)
    if unknown:
        raise LabellingError(
            f"{unknown.total()} answers name a class that {run.name} does not have: {_counted(unknown)}; the other "
            f"{len(decisions)} answers are kept ({len(new)} new)",
            cure="add the class with `lightbox label start --classes ...`, or correct these answers in Label Studio",
        )
    if changed and not restart:
        raise LabellingError(
            f"the labelling page was changed by hand: {'; '.join(sorted(set(changed)))}. All {len(decisions)} answers "
            f"are kept ({len(new)} new)",
            cure="`lightbox label start` puts the page back; with --classes it takes over other classes",
        )
    return Pulled(answers=len(decisions), new=len(new), foreign_tasks=foreign)


def _decision(studio: LabelStudio, project: int, task: Task, entered: Entered, review: bool) -> Decision:
    skipped = entered.skipped
    label = None if skipped else entered.label
    said = (project, entered.annotation, task.sha256, entered.by, skipped, label, entered.updated.isoformat())
    return Decision(
        id=decision_id("label-studio", *said),
        sha256=task.sha256,
        path=task.path,
        answer="skip" if skipped else ("reject" if label is None else "label"),
        label=label,
        by=entered.by,
        source="person",
        review=review,
        time=entered.updated,
        project=f"{studio.url}/projects/{project}",
        seconds=entered.seconds,
        reason=task.reason,
        selection_probability=task.selection_probability,
        suggested=task.suggested,
    )


def _page_changes(studio: LabelStudio, project: int, classes: Sequence[str]) -> Iterable[str]:
    """What differs between the answers that a page offers and those that it should."""
    shown = studio.offered(project)
    if shown is None:
        return ["the choice named label is gone"]
    missing = [name for name in classes if name not in shown]
    added = [name for name in shown if name not in classes and name != REJECTED]
    return [f"class {name!r} is gone" for name in missing] + [f"class {name!r} is new" for name in added]


def _counted(counts: Counter[str]) -> str:
    told = ", ".join(f"{name!r} ({count})" for name, count in counts.most_common(NAMED))
    return told + (", ..." if len(counts) > NAMED else "")
