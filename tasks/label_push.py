"""Push tasks: make Label Studio's projects what they should be; again, and nothing changes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
from pydantic import Field

from tasks.engine.run import Run, block_options
from tasks.engine.stage import progress, stage
from tasks.images.reject_reasons import ImageRejected
from tasks.images.settings import DecodeLimits
from tasks.ingest import Listing
from tasks.label_begin import Labelling, document_of, studio_of
from tasks.label_choose import TaskQueue, image_source, read_queue
from tasks.labelling.candidates import WORDS
from tasks.labelling.consensus import Verdict
from tasks.labelling.decision import Decision, DecisionStore, decision_id
from tasks.labelling.label_studio import LabelStudio
from tasks.labelling.label_studio_records import NewTask, SuggestedLabel, Task
from tasks.labelling.pictures import Links, for_browser
from tasks.labelling.project import label_config
from tasks.labelling.settings import LabellingSettings
from tasks.labelling.sources import LOGGED_FOLDER
from tasks.labelling.standing import read_standing
from tasks.record import Record

PREPARED_AT_ONCE: Final = 100
"""Images held in memory while they are handed over."""


class Pushed(Record):
    """What was changed in Label Studio."""

    project: int = Field(description="Number of the project.")
    project_url: str = Field(description="Where people label.")
    review_url: str | None = Field(description="Where disputes are settled, once there was one.")
    added: int = Field(ge=0, description="Tasks made.")
    removed: int = Field(ge=0, description="Unanswered tasks taken out: they need no answer any more.")
    suggested: int = Field(ge=0, description="Tasks whose suggestion was changed.")
    waiting: int = Field(ge=0, description="Images that stand in Label Studio when others are answered.")

    def in_words(self) -> str:
        """What changed in Label Studio."""
        return f"{self.added} tasks added, {self.removed} removed, {self.waiting} images wait; {self.project_url}"


@dataclass(frozen=True)
class _Work:
    """What every step of a push needs."""

    studio: LabelStudio
    settings: LabellingSettings
    verdicts: Mapping[str, Verdict]
    address: Callable[[int, Sequence[tuple[str, str]]], dict[str, str]]
    model: str | None


@stage("push-tasks", version=1, reusable=False)
def push_tasks(run: Run, listing: Listing, labelling: Labelling, chosen: TaskQueue) -> Pushed:
    """Make the projects where they are missing, bring their tasks in line with the queue, and refresh suggestions.

    Killed at any point, the next run goes on: projects are found by their mark, uploads by their names, tasks by the
    image's digest. Answered tasks are never removed.
    """
    settings, document = labelling.settings, document_of(run)
    queue = read_queue(run)
    with studio_of(settings) as studio:
        work = _Work(
            studio,
            settings,
            read_standing(run.open_workspace(), run.name).verdicts,
            _addresses(run, listing, settings, studio),
            chosen.assistance.model,
        )
        state = document.read()
        project = _project(run, work, state.project, review=False)
        document.set(project=project)
        disputed = queue[queue["reason"] == "disputed"]
        review = state.review_project
        if review is not None or len(disputed):
            review = _project(run, work, review, review=True)
            document.set(review_project=review)
        normal = queue[queue["reason"] != "disputed"]
        added, removed = _in_line(work, project, normal, settings.queue_images)
        if review is not None:
            more, fewer = _in_line(work, review, disputed, len(disputed))
            added, removed = added + more, removed + fewer
        tasks = studio.tasks(project)
        _ask_more_people(work, tasks)
        shown = _suggest(run, work, project, tasks, normal)
        models = {task.model for task in tasks if task.id not in shown}
        models |= {suggestion.model for suggestion in shown.values() if suggestion is not None}
        if work.model is not None and work.model in models:
            studio.change_project(project, model_version=work.model)
    return Pushed(
        project=project,
        project_url=studio.project_url(project),
        review_url=None if review is None else studio.project_url(review),
        added=added,
        removed=removed,
        suggested=len(shown),
        waiting=max(0, len(set(normal["sha256"]) - {task.sha256 for task in tasks})),
    )


def _project(run: Run, work: _Work, number: int | None, *, review: bool) -> int:
    """The project with its settings, made where it is missing."""
    told = f"{run.open_workspace().url} {run.name} {'review' if review else 'label'}"
    mark = f"lightbox-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    studio, settings = work.studio, work.settings
    wanted = {
        "title": f"{run.name}{' review' if review else ''}"[:50].ljust(3, "_"),
        "description": f"Kept by Lightbox: run `lightbox label sync`, and change nothing here by hand. {mark}",
        "label_config": label_config(settings.classes),
        "expert_instruction": settings.instructions,
        "show_instruction": True,
        "show_skip_button": True,
        "enable_empty_annotation": False,
        "maximum_annotations": 1 if review else settings.agreement.min_labellers,
        "sampling": "Sequential sampling",
        "skip_queue": "REQUEUE_FOR_OTHERS",
    }
    if number is None or not studio.has_project(number):
        number = studio.find_project(mark)
    if number is None:
        return studio.create_project(**wanted)
    there = studio.project_settings(number)
    changed = {name: value for name, value in wanted.items() if there.get(name) != value}
    if changed:
        studio.change_project(number, **changed)
    return number


def _in_line(work: _Work, project: int, rows: pd.DataFrame, most_open: int) -> tuple[int, int]:
    """Take out unanswered tasks that nobody needs, and add what is missing; how many of both."""
    studio = work.studio
    wanted = dict(zip(rows["sha256"], rows["path"], strict=True))
    by_content: dict[str, list[Task]] = {}
    there = studio.tasks(project)
    for task in there:
        if task.sha256:
            by_content.setdefault(task.sha256, []).append(task)
    needless: list[int] = []
    open_tasks = 0
    for sha256, tasks in by_content.items():
        # Of two tasks for one image, which two syncs at once can make, the answered one stays, else the first.
        kept = max(tasks, key=lambda task: (len(task.answers), -task.id))
        needless += [
            task.id for task in tasks if task.is_untouched and (task is not kept or sha256 not in wanted)
        ]
        open_tasks += sha256 in wanted and kept.is_unanswered
    studio.delete_tasks(project, needless)
    missing = rows[~rows["sha256"].isin(by_content)].head(max(0, most_open - open_tasks))
    _add(work, project, missing)
    if work.settings.images_by == "link":
        _renew_links(work, project, [task for task in there if task.id not in needless], wanted)
    return len(missing), len(needless)


def _add(work: _Work, project: int, rows: pd.DataFrame) -> None:
    for start in range(0, len(rows), PREPARED_AT_ONCE):
        some = rows.iloc[start : start + PREPARED_AT_ONCE].to_dict("records")
        addresses = work.address(project, [(row["sha256"], row["path"]) for row in some])
        tasks = [
            NewTask(
                sha256=row["sha256"],
                path=row["path"],
                image=addresses[row["sha256"]],
                heading=_heading(row["sha256"], row["reason"]),
                reason=row["reason"],
                selection_probability=(
                    float(row["selection_probability"]) if row["selection_probability"] > 0 else None
                ),
                suggestion=_suggestion(work.model, row),
            )
            for row in some
            if row["sha256"] in addresses
        ]
        work.studio.add_tasks(project, tasks)
        progress()(min(start + PREPARED_AT_ONCE, len(rows)), len(rows), "images handed over")


def _heading(sha256: str, reason: str) -> str:
    """The image's name, which must not tell its label as a path would, and why it is asked."""
    words = next(text for name, text in WORDS.items() if name == reason)
    return f"Image {sha256[:8]}" + (f": {words}" if words else "")


def _suggestion(model: str | None, row: Mapping[Any, Any]) -> SuggestedLabel | None:
    if model is None or not row["sure"]:
        return None
    return SuggestedLabel(str(row["suggestion"]), round(float(row["probability"]), 6), model)


def _renew_links(work: _Work, project: int, tasks: Sequence[Task], wanted: Mapping[str, str]) -> None:
    """Give the links of these tasks their full time again, as far as they are wanted."""
    for task in tasks:
        if task.sha256 in wanted:
            addresses = work.address(project, [(task.sha256, wanted[task.sha256])])
            work.studio.change_task(task.id, data={**task.data, "image": addresses[task.sha256]})


def _ask_more_people(work: _Work, tasks: Sequence[Task]) -> None:
    """Where people have no majority, ask one more."""
    for task in tasks:
        verdict = work.verdicts.get(task.sha256)
        if verdict is not None and verdict.state == "open" and verdict.labellers_wanted > task.overlap:
            work.studio.change_task(task.id, overlap=verdict.labellers_wanted)


def _suggest(
    run: Run, work: _Work, project: int, tasks: Sequence[Task], rows: pd.DataFrame
) -> dict[int, SuggestedLabel | None]:
    """Replace the suggestions of unanswered tasks by the newest model's, and keep them as the machine's decisions.

    What was changed, by task.
    """
    by_content = {row["sha256"]: row for row in rows.to_dict("records")}
    shown: dict[int, SuggestedLabel | None] = {}
    said: list[Decision] = []
    now = datetime.now(UTC)
    for task in tasks:
        row = by_content.get(task.sha256)
        if row is None or not task.is_unanswered:
            continue
        suggestion = _suggestion(work.model, row)
        if task.model != (suggestion.model if suggestion else None):
            shown[task.id] = suggestion
        if suggestion is not None:
            said.append(_machine_decision(work.studio.project_url(project), task, suggestion, now))
    DecisionStore(run.open_workspace(), run.name).append(said)
    work.studio.replace_suggestions(project, shown)
    return shown


def _machine_decision(project: str, task: Task, suggestion: SuggestedLabel, now: datetime) -> Decision:
    return Decision(
        id=decision_id("suggestion", suggestion.model, task.sha256),
        sha256=task.sha256,
        path=task.path,
        answer="label",
        label=suggestion.label,
        by=suggestion.model,
        source="machine",
        time=now,
        project=project,
        probability=suggestion.probability,
    )


def _addresses(
    run: Run, listing: Listing, settings: LabellingSettings, studio: LabelStudio
) -> Callable[[int, Sequence[tuple[str, str]]], dict[str, str]]:
    """Where a browser finds images: given (digest, path), their addresses by digest; undecodable ones are left out."""
    read = image_source(run, listing)
    links = (
        Links(listing.url, block_options(listing.block), settings.link_hours)
        if settings.images_by == "link"
        else None
    )

    def addresses(project: int, images: Sequence[tuple[str, str]]) -> dict[str, str]:
        linked: dict[str, str] = {}
        files: dict[str, bytes] = {}
        names: dict[str, str] = {}
        for sha256, path in images:
            if links is not None and not path.startswith(f"{LOGGED_FOLDER}/"):
                linked[sha256] = links.of(path)
                continue
            try:
                data, kind = for_browser(read(path), DecodeLimits())
            except ImageRejected:
                continue
            names[sha256] = f"{sha256}.{kind}"
            files[names[sha256]] = data
        stored = studio.upload(project, files) if files else {}
        return linked | {sha256: stored[name] for sha256, name in names.items()}

    return addresses
