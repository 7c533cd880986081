"""Label Studio's exports of any project, also those that Lightbox did not make: JSON, JSON_MIN, CSV and TSV.

What they look like: https://labelstud.io/guide/export. A task's data may have any names, and so may its questions.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tasks.data.spelling import spelling_key
from tasks.errors import ManifestMismatch
from tasks.labelling.formats import NAMED, ForeignLabel
from tasks.labelling.label_studio_images import image_key, image_of
from tasks.labelling.project import REJECTED

_QUESTIONS: Final = ("label", "choice")
"""What the question is called in projects of Lightbox, and where nobody names it."""

_OF_A_ROW: Final = frozenset(
    {
        "id",
        "annotation_id",
        "annotator",
        "created_at",
        "updated_at",
        "lead_time",
        "agreement",
        "completed_by",
        "comment",
    }
    | {"sha256", "heading", "cancelled_annotations", "total_annotations", "inner_id", "project"}
)
"""Fields of JSON_MIN and CSV that are neither an image nor an answer."""

_OF_REGIONS: Final = ("x", "start", "points", "rle", "end")
_OTHER_ANSWERS: Final = ("pairwise", "ranker")


@dataclass(frozen=True)
class _Answer:
    """One person's answer to one task: choices about the whole image by question; `of_parts` where there are others."""

    task: str
    data: Mapping[str, Any]
    choices: Mapping[str, tuple[str, ...]]
    of_parts: bool
    by: str | None
    time: datetime | None
    skipped: bool


def is_label_studio(content: Any) -> bool:
    """Whether JSON, or the rows of a table, are an export of Label Studio."""
    rows = _tasks(content)
    first = next((row for row in rows if isinstance(row, Mapping)), None) if rows else None
    return first is not None and (
        ("data" in first and bool({"annotations", "completions", "predictions"} & first.keys()))
        or {"annotation_id", "annotator"} <= first.keys()
        or {"annotation_id", "lead_time"} <= first.keys()
    )


def read_label_studio(content: Any, source: str, known: Collection[str] = ()) -> list[ForeignLabel]:
    """The answers of an export, each person's own; `known` are classes, which tell questions apart.

    Raises:
        ManifestMismatch: it is none, an answer names several classes or is about a part of an image, or which field
            is the image or the answer cannot be told. The tasks are named.
    """
    rows = _tasks(content)
    try:
        answers = [answer for row in rows or () for answer in _answers(row)]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ManifestMismatch(
            f"{source} is no export of Label Studio: {type(error).__name__} {error}",
            cure="export the project there as JSON",
        ) from error
    if rows is None:
        raise ManifestMismatch(
            f"{source} is no export of Label Studio: no list of tasks",
            cure="export the project there as JSON",
        )
    key = image_key([answer.data for answer in answers], source)
    question = _question(answers, source, known, {key})
    _check_one_choice(answers, question, source)
    labels = []
    for answer in answers:
        label = next(iter(answer.choices.get(question, ())), None)
        labels.append(
            ForeignLabel(
                image_of(answer.data, key, f"{source}: task {answer.task}"),
                None if label == REJECTED else label,
                by=answer.by,
                time=answer.time,
                sha256=answer.data.get("sha256"),
                skipped=answer.skipped or label is None,
            )
        )
    return labels


def _tasks(content: Any) -> list[Any] | None:
    if isinstance(content, list):
        return content
    if isinstance(content, Mapping):
        if "data" in content and "annotations" in content:
            return [content]
        for name in ("tasks", "results"):
            if isinstance(content.get(name), list):
                return list(content[name])
    return None


def _answers(row: Mapping[str, Any]) -> Iterator[_Answer]:
    if "data" not in row:
        yield _of_flat(row)
        return
    task = str(row.get("id", row.get("inner_id", "?")))
    data = {**({"file_upload": row["file_upload"]} if row.get("file_upload") else {}), **row["data"]}
    if not data:
        raise KeyError("data")
    for entered in row.get("annotations", row.get("completions")) or ():
        choices: defaultdict[str, list[str]] = defaultdict(list)
        of_parts = False
        for region in entered.get("result") or ():
            found = _chosen(region)
            of_parts = of_parts or found is None
            if found:
                choices[str(region.get("from_name", _QUESTIONS[0]))] += found
        yield _Answer(
            task,
            data,
            {name: tuple(dict.fromkeys(found)) for name, found in choices.items()},
            of_parts,
            _person(entered.get("completed_by")),
            _time(entered),
            bool(entered.get("was_cancelled") or entered.get("skipped")),
        )


def _chosen(region: Mapping[str, Any]) -> list[str] | None:
    """Classes that a result names of the whole image; None where it is about a part, or a choice of another kind."""
    kind, value = str(region.get("type")), region.get("value") or {}
    if kind == "choices":
        of_part = any(field in value for field in _OF_REGIONS)
        return None if of_part else [str(choice) for choice in value.get("choices") or ()]
    if kind == "taxonomy":
        paths = value.get("taxonomy") or []
        return [str(path[0]) for path in paths] if all(len(path) == 1 for path in paths) else None
    return None if kind in _OTHER_ANSWERS or kind.endswith("labels") else []


def _of_flat(row: Mapping[str, Any]) -> _Answer:
    """A row of JSON_MIN or CSV, in which an answer stands beside the data."""
    data = {name: value for name, value in row.items() if name not in _OF_A_ROW or name == "sha256"}
    choices = {name: found for name, value in data.items() if (found := _flat_choices(value))}
    return _Answer(
        str(row.get("id", "?")),
        data,
        choices,
        False,
        _person(row.get("annotator", row.get("completed_by"))),
        _time(row),
        False,
    )


def _flat_choices(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            value = json.loads(value)
        except ValueError:
            return (value,)
    if isinstance(value, Mapping):
        value = value.get("choices") or ()
    if isinstance(value, list | tuple):
        return tuple(str(choice) for choice in value if not isinstance(choice, Mapping))
    return () if value is None or value == "" else (str(value),)


def _question(
    answers: Sequence[_Answer], source: str, known: Collection[str], images: Collection[str]
) -> str:
    """The question whose answers are the classes."""
    asked = dict.fromkeys(name for answer in answers for name in answer.choices if name not in images)
    names = [name for name in asked if name != "sha256"]
    for name in _QUESTIONS:
        if name in names:
            return name
    if len(names) > 1:
        classes = {spelling_key(name) for name in (*known, REJECTED)}
        names = [
            name
            for name in names
            if all(spelling_key(one) in classes for answer in answers for one in answer.choices.get(name, ()))
        ] or names
    if len(names) > 1:
        raise ManifestMismatch(
            f"{source}: its tasks answer several questions: {', '.join(names)}",
            cure="export one question alone, or call the one whose answers are the classes label",
        )
    return names[0] if names else _QUESTIONS[0]


def _check_one_choice(answers: Sequence[_Answer], question: str, source: str) -> None:
    several = [
        answer.task for answer in answers if not answer.skipped and len(answer.choices.get(question, ())) > 1
    ]
    if several:
        raise ManifestMismatch(
            f"{source}: {len(several)} answers name several classes of one image: {_tasks_named(several)}",
            cure="give each of these images one class in Label Studio, or take these tasks out of the file",
        )
    of_parts = [
        answer.task for answer in answers if not answer.skipped and answer.of_parts and not answer.choices
    ]
    if of_parts:
        raise ManifestMismatch(
            f"{source}: {len(of_parts)} answers are about parts of an image, or no plain choice: "
            f"{_tasks_named(of_parts)}",
            cure="ask for a choice about the whole image, or take these tasks out of the file",
        )


def _tasks_named(tasks: Sequence[str]) -> str:
    once = list(dict.fromkeys(tasks))
    return f"tasks {', '.join(once[:NAMED])}" + (", ..." if len(once) > NAMED else "")


def _person(completed_by: Any) -> str | None:
    if isinstance(completed_by, Mapping):
        return str(completed_by.get("email") or f"user {completed_by.get('id')}")
    if completed_by is None or completed_by == "":
        return None
    return str(completed_by) if "@" in str(completed_by) else f"user {completed_by}"


def _time(row: Mapping[str, Any]) -> datetime | None:
    text = row.get("updated_at") or row.get("created_at")
    return datetime.fromisoformat(str(text)) if text else None
