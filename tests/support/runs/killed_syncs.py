"""Syncs a labelling in processes that are killed at one point after another.

A program of its own, started by `test_label_studio`: it imports everything once and forks a child for each attempt.

usage: python killed_syncs.py WORKSPACE NAME, prints one JSON list: how each attempt ended.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

import sklearn.linear_model  # noqa: F401 - before the forks, so that no child has to
import timm  # noqa: F401

from flows.config import DataSet, WorkspaceLocation
from flows.label import label
from tasks.data.settings import ImagesSource
from tasks.labelling.label_studio import LabelStudio
from tasks.labelling.project import ProjectDocument
from tasks.stores.files import LocalFiles
from tasks.stores.workspace import Workspace


def half_of_the_decisions() -> None:
    """Die with the file of decisions half written."""
    original = LocalFiles._place

    def place(self: LocalFiles, path: str, fill: Callable[[IO[bytes]], object], move: Any) -> bool:
        def half(file: IO[bytes]) -> None:
            fill(file)
            file.flush()
            os.ftruncate(file.fileno(), file.tell() // 2)
            die()

        return original(self, path, half if path.endswith(".jsonl") else fill, move)

    LocalFiles._place = place  # type: ignore[method-assign]


def after(method: str) -> Callable[[], None]:
    """Die when Label Studio has done something, before its answer is made use of."""

    def prepare() -> None:
        original = getattr(LabelStudio, method)

        def call(self: LabelStudio, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **named)
            die()

        setattr(LabelStudio, method, call)

    return prepare


def in_mid_suggestions() -> None:
    """Die when the old suggestions are gone and the new ones not yet there."""
    original = LabelStudio._act

    def act(self: LabelStudio, project: int, action: str, tasks: Any) -> None:
        original(self, project, action, tasks)
        if action == "delete_tasks_predictions" and tasks:
            die()

    LabelStudio._act = act  # type: ignore[method-assign]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


POINTS = (
    half_of_the_decisions,
    after("create_project"),
    after("upload"),
    after("add_tasks"),
    in_mid_suggestions,
)


def main(url: str, name: str) -> None:
    """Fork, die, and say how."""
    state = ProjectDocument(Workspace(url), name).read()
    ends = []
    for prepare in POINTS:
        child = os.fork()
        if child == 0:
            prepare()
            images = ImagesSource.model_validate(state.images)
            assist = prepare is in_mid_suggestions  # the others come to their end sooner without
            settings = state.settings.model_copy(update={"assist": assist})
            label.fn(images, WorkspaceLocation(url=url), DataSet(name=name), settings)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ends.append("killed" if os.WIFSIGNALED(status) else f"exit {os.waitstatus_to_exitcode(status)}")
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main(*sys.argv[1:])
