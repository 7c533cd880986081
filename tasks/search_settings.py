"""The run form's section for automated machine learning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.automl.fold_search import Sampling
from tasks.automl.objective import Objective
from tasks.automl.space import SearchSpace


class SearchSettings(BaseModel):
    """How the recipe is looked for, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    space: SearchSpace = Field(default=SearchSpace(), description="What may be tried.")
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
