"""The run form's section for automated machine learning."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.automl.objective import Objective
from tasks.record import Frozen
from tasks.training.backbones import BackboneName

Sampling = Literal["tpe", "random"]

Augmentation = Literal["recipe", "light", "strong"]
"""Random views: as in the preset's recipe, with changes of half, or of twice, the size."""


class Range(Frozen):
    """A range of a number, searched on a logarithmic scale."""

    low: float = Field(gt=0, description="Least value.")
    high: float = Field(gt=0, description="Greatest value.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class SearchSpace(Frozen, title="Search space"):
    """What may be tried. A list with one value fixes it."""

    backbones: tuple[BackboneName, ...] | None = Field(
        None,
        min_length=1,
        description="Pretrained networks. Left out: all whose weights are on this machine.",
    )
    sizes_px: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="Sides of the square that a network is given. Left out: each backbone's own.",
    )
    fit: tuple[Literal["letterbox", "squash", "center_crop"], ...] = Field(
        ("letterbox", "squash"), min_length=1, description="How an image becomes a square."
    )
    crop_to_content: tuple[bool, ...] = Field(
        (True, False), min_length=1, description="Whether flat borders and frames are cut away first."
    )
    kinds: tuple[Literal["probe", "fine_tune"], ...] = Field(
        ("probe", "fine_tune"), min_length=1, description="What may be chosen: a linear head, or fine-tuning."
    )
    more_frozen_stages: tuple[int, ...] = Field(
        (0, 1), min_length=1, description="Stages kept as pretrained, beyond the early ones of a backbone."
    )
    learning_rate: Range = Field(Range(low=1e-4, high=1e-3), description="Highest learning rate.")
    weight_decay: Range = Field(Range(low=1e-3, high=1e-1), description="Weight decay.")
    label_smoothing: tuple[float, ...] = Field(
        (0.0, 0.05, 0.1), min_length=1, description="Share of a label spread over all classes."
    )
    class_weights: tuple[Literal["none", "sqrt", "balanced"], ...] = Field(
        ("balanced",), min_length=1, description="Weight of a class in the loss."
    )
    augmentation: tuple[Augmentation, ...] = Field(
        ("recipe",), min_length=1, description="Strength of the random views."
    )
    epochs: tuple[int, ...] | None = Field(
        None, min_length=1, description="Passes over the images. Left out: the preset's."
    )


class SearchSettings(Frozen, title="Search for a recipe"):
    """How the recipe is looked for, and for how long."""

    mode: Literal["by_preset", "on", "off"] = Field(
        default="by_preset", description="Whether to search. by_preset: with the preset thorough only."
    )
    minutes: float = Field(
        default=30.0,
        gt=0,
        le=43_200,
        description="Time-out: minutes for the search and for training what it chose, kept within a tenth.",
    )
    max_trials: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Most fine-tunings that are begun; left out, as time allows.",
    )
    max_concurrent_trials: int = Field(
        default=1, ge=1, le=256, description="Trainings at once: as many as there are GPUs, or machines."
    )
    sampling: Sampling = Field(
        default="tpe",
        description="How settings are proposed: tree-structured Parzen estimator, or at random.",
    )
    objective: Objective = Field(default=Objective(), description="What is optimised.")
    space: SearchSpace = Field(
        default=SearchSpace(), description="What may be tried; docs/search.md tells of each setting."
    )
    bases: int = Field(
        default=3,
        ge=1,
        le=32,
        description="Backbones with their preprocessing that are fine-tuned, the best probes.",
    )
    inner_folds: int = Field(
        default=2,
        ge=1,
        le=19,
        description="Folds that fine-tunings are compared on for each reported fold; with two, as many trainings as "
        "there are folds serve all of them.",
    )
    survivors: int = Field(
        default=3, ge=1, le=32, description="Most fine-tunings of a fold that are trained to their end."
    )
    halving: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Early termination: a fine-tuning is first trained for 1/halving of its epochs; 1 never stops one.",
    )
    runner: Literal["here", "ray"] = Field(
        default="here", description="Where trainings run: in the run's own process, or on a Ray cluster."
    )
    ray_address: str | None = Field(
        default=None,
        pattern=r"^(auto|local|(ray://)?[A-Za-z0-9_.-]+:\d{1,5})$",
        description="Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Left out, one is started on this machine.",
    )
    cpus_per_trial: float = Field(
        default=1, ge=0, le=1024, description="Processors asked of Ray for a training."
    )
    gpus_per_trial: float = Field(default=0, ge=0, le=64, description="GPUs asked of Ray for a training.")
