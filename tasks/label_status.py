"""Labelling status: the figures, shown in the Prefect UI, and the event that calls for a retraining."""

from pydantic import Field

from tasks.engine.run import Run
from tasks.engine.stage import inside_flow_run, stage
from tasks.label_begin import document_of
from tasks.label_choose import read_queue
from tasks.labelling.assistance import AssistanceFigures
from tasks.labelling.consensus import SETTLED
from tasks.labelling.progress import LabellingProgress, labelling_progress
from tasks.labelling.project import ProjectState
from tasks.labelling.standing import Standing, read_standing
from tasks.record import Record

LABELS_LANDED = "lightbox.labels.landed"
"""Event: enough newly settled labels for a retraining. Its resource is lightbox.labels.<name>."""

IMAGES_LANDED = "lightbox.images.landed"
"""Event: unlabelled images are there. Its resource is lightbox.images.<name>; a storage account's web hook may send it,
and a retraining that meets unlabelled images does."""


class LabelStatus(Record):
    """Where a labelling stands."""

    name: str = Field(description="Data set.")
    classes: tuple[str, ...] = Field(description="Classes.")
    finished: bool = Field(description="Whether it was ended.")
    project_url: str | None = Field(description="Where people label.")
    review_url: str | None = Field(description="Where disputes are settled, once there was one.")
    progress: LabellingProgress = Field(description="The figures.")
    assistance: AssistanceFigures | None = Field(
        default=None, description="What the machine knows; only a sync trains it."
    )
    retraining_called_for: bool = Field(
        default=False, description="Whether this sync called for a retraining."
    )

    def in_words(self) -> str:
        """How many images are labelled, and how many wait."""
        counts = self.progress
        return f"{counts.labelled} of {counts.asked} images labelled, {counts.to_go} to go, {counts.to_review} disputed"


def status_of(run: Run) -> LabelStatus:
    """The status by what stands in the workspace."""
    return _status(run, document_of(run).read(), read_standing(run.open_workspace(), run.name), None)


def _status(
    run: Run, state: ProjectState, standing: Standing, assistance: AssistanceFigures | None
) -> LabelStatus:
    queue = read_queue(run)
    projects = f"{state.settings.url.rstrip('/')}/projects"
    return LabelStatus(
        name=run.name,
        classes=state.settings.classes,
        finished=state.finished,
        project_url=f"{projects}/{state.project}/data" if state.project is not None else None,
        review_url=f"{projects}/{state.review_project}/data" if state.review_project is not None else None,
        progress=labelling_progress(
            standing.decisions,
            standing.verdicts,
            dict(zip(queue["sha256"], queue["reason"], strict=True)),
            queue["sha256"][queue["sure"]].tolist(),
            state.settings.classes,
        ),
        assistance=assistance,
    )


@stage("label-status", version=1, reusable=False)
def label_status(run: Run, assistance: AssistanceFigures) -> LabelStatus:
    """Count, show it in the Prefect UI, and call for a retraining once enough new labels are settled."""
    document = document_of(run)
    standing = read_standing(run.open_workspace(), run.name)
    settled = _settled(standing)
    state = document.read()
    due = settled - state.told_labels >= state.settings.retrain_after
    status = _status(run, state, standing, assistance).model_copy(update={"retraining_called_for": due})
    if inside_flow_run():
        _show(status)
        if due:
            _call_for_retraining(run.name, settled, settled - state.told_labels)
    if due or settled < state.told_labels:
        # After the event was given to Prefect: told twice is better than not at all.
        document.set(told_labels=settled)
    return status


def tell_unlabelled(run: Run, unlabelled: int) -> None:
    """Say that images without a label are there, for an automation to start a labelling; nothing without a server."""
    if unlabelled and inside_flow_run():
        from prefect.events import emit_event

        emit_event(
            event=IMAGES_LANDED,
            resource={
                "prefect.resource.id": f"lightbox.images.{run.name}",
                "prefect.resource.name": run.name,
            },
            payload={"name": run.name, "unlabelled": unlabelled},
        )


def _settled(standing: Standing) -> int:
    return sum(verdict.state in SETTLED for verdict in standing.verdicts.values())


def _call_for_retraining(name: str, settled: int, new: int) -> None:
    from prefect.events import emit_event

    emit_event(
        event=LABELS_LANDED,
        resource={"prefect.resource.id": f"lightbox.labels.{name}", "prefect.resource.name": name},
        payload={"name": name, "settled": settled, "new": new},
    )


def _show(status: LabelStatus) -> None:
    from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact

    key, figures = f"{status.name.replace('_', '-')}-labelling", status.progress
    done = figures.labelled + figures.rejected
    create_progress_artifact(
        100.0 * done / figures.asked if figures.asked else 100.0,
        key=f"{key}-progress",
        description=f"{done} of {figures.asked} images settled, {figures.to_review} to review",
    )
    create_markdown_artifact(status_markdown(status), key=key, description="Labelling")
    create_table_artifact(
        [person.model_dump() for person in figures.people], key=f"{key}-people", description="By person"
    )


def status_markdown(status: LabelStatus) -> str:
    """The status in one screen of Markdown."""
    figures = status.progress
    rows = [
        ("labelled", figures.labelled),
        ("rejected", figures.rejected),
        ("to go", figures.to_go),
        ("of these partly answered", figures.partly),
        ("of these skipped", figures.skipped),
        ("of these with a suggestion", figures.suggested),
        ("to review", figures.to_review),
        *((f"class {name}", count) for name, count in figures.by_class.items()),
    ]
    lines = [f"# Labelling of {status.name}", "", "| images | |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in rows]
    lines += ["", *(f"- {sentence}" for sentence in sentences(status))]
    return "\n".join(lines)


def sentences(status: LabelStatus) -> list[str]:
    """What a person should know beside the counts."""
    figures = status.progress
    said = []
    if figures.agreement.words:
        said.append(figures.agreement.words)
    machine = status.assistance
    if machine is not None and machine.threshold is None:
        said.append(f"no suggestions: {machine.why_none}")
    elif machine is not None:
        said.append(
            f"suggestions from probability {machine.threshold:.2f} on ({machine.model}): {machine.held_out_right} of "
            f"{machine.held_out_sure} held-out labels right (95 % interval from {machine.precision_lower:.2f})"
        )
    if figures.suggestions.judged:
        said.append(
            f"people confirmed {figures.suggestions.confirmed} of {figures.suggestions.judged} suggestions"
        )
    if status.project_url and not status.finished:
        said.append(f"label: {status.project_url}")
    if status.review_url and figures.to_review:
        said.append(f"review: {status.review_url}")
    if status.retraining_called_for:
        said.append("enough new labels: a retraining is called for")
    return said


def finish(run: Run) -> ProjectState:
    """Mark the labelling as ended; nothing is removed."""
    return document_of(run).set(finished=True)
