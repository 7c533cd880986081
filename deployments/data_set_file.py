"""One data set's file: what is retrained, when, with which bar, and who is told. YAML, one file a data set."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from deployments.registered import HALF_YEARLY, Channel, Schedule
from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from tasks.automl.settings import SearchSettings
from tasks.compute.settings import ComputeSettings
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.errors import ConfigError
from tasks.evaluation.settings import GateSettings
from tasks.labelling.settings import LabellingSettings
from tasks.record import Frozen
from tasks.tracking.settings import TrackingSettings


class Scoring(Frozen):
    """A store that is scored with the data set's champion."""

    images: ImagesSource = Field(description="What is scored.")
    out: WorkspaceLocation = Field(description="Where the scores are put.")
    schedule: Schedule | None = Field(default=None, description="When; left out, only when somebody asks.")


class Labelling(Frozen):
    """Labelling by people in Label Studio."""

    settings: LabellingSettings = Field(
        default=LabellingSettings(), description="Classes, people and assistance, and where Label Studio is."
    )
    schedule: Schedule | None = Field(
        default=Schedule(cron="*/15 * * * *"),
        description="When labels are brought in and images handed out; null: only by hand and by events.",
    )


class ComputeHours(Frozen):
    """Hours of the machines behind a work pool, apart from any training."""

    start: Schedule | None = Field(
        default=None, description="When they are woken; left out, by trainings only."
    )
    stop: Schedule | None = Field(
        default=None, description="When they are put to sleep, once their runs have ended."
    )


class DataSetFile(Frozen):
    """What a file may say; the first eight are groups of the run form and its defaults."""

    dataset: DataSet = Field(description="What the images are about.")
    images: ImagesSource = Field(description="Where the images are.")
    workspace: WorkspaceLocation = Field(description="Where everything is kept.")
    checks: CatalogueSettings = Field(default=CatalogueSettings(), description="Checks, copies and folds.")
    training: TrainingSettings = Field(default=TrainingSettings(), description="Backbone, recipe and device.")
    evaluation: EvaluationSettings = Field(
        default=EvaluationSettings(), description="Threshold, what is served."
    )
    gate: GateSettings = Field(default=GateSettings(), description="When a model is good enough.")
    search: SearchSettings = Field(
        default=SearchSettings(), description="Automated machine learning: what is tried, and for how long."
    )
    compute: ComputeSettings = Field(
        default=ComputeSettings(pool="gpu"),
        description="Where the fine-tuning runs, and what is woken for it.",
    )
    compute_hours: ComputeHours | None = Field(
        default=None,
        description="When the machines behind compute.pool are woken and put to sleep by the clock.",
    )
    schedule: Schedule | None = Field(
        default=Schedule(cron=HALF_YEARLY), description="When it is retrained by itself; null: never."
    )
    tracking: TrackingSettings = Field(
        default=TrackingSettings(), description="Whether MLflow is told of it, and where."
    )
    score: Scoring | None = Field(default=None, description="A store that is scored with the champion.")
    labelling: Labelling | None = Field(
        default=None, description="Labelling by people; left out, nobody is asked."
    )
    notify: tuple[Channel, ...] = Field(default=(), description="Who is told, and how.")
    on_overlap: Literal["wait", "cancel"] = Field(
        default="wait",
        description="What a second retraining does while one runs: wait for it, or be cancelled.",
    )

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.dataset.name

    def parameters(self) -> dict[str, Any]:
        """The run form's values."""
        form = {
            "dataset",
            "images",
            "workspace",
            "checks",
            "training",
            "search",
            "evaluation",
            "gate",
            "compute",
            "tracking",
        }
        return self.model_dump(mode="json", include=form)


def read_data_sets(folder: Path) -> tuple[DataSetFile, ...]:
    """All files of a folder, by name of the data set.

    Raises: ConfigError naming the file and the field that is wrong, or two files for one data set.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"There is no folder {folder} with data-set files.",
            cure="name an existing folder with --data-sets",
        )
    found = [_read(path) for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])]
    names = [data_set.name for data_set in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{folder}: more than one file is about {', '.join(twice)}.",
            cure="keep one file for each data set",
        )
    return tuple(sorted(found, key=lambda data_set: data_set.name))


def _read(path: Path) -> DataSetFile:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", cure="correct the file's YAML") from error
    try:
        return DataSetFile.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        quoted = (
            "; in YAML, yes and no are truth values: quote them" if isinstance(first["input"], bool) else ""
        )
        raise ConfigError(f"{path}: {field}: {first['msg']}", cure=f"correct the field{quoted}") from error
