"""Settings of components that are no form of one stage alone."""

from typing import Literal, Self

from pydantic import Field, model_validator

from flows.config import NAME_PATTERN, DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from tasks.automl.settings import SearchSettings
from tasks.compute.settings import ComputeSettings
from tasks.data.settings import ImagesSource, Protocol
from tasks.record import Frozen
from tasks.training.backbones import BackboneName
from tasks.training.drawn import OptimisationChanges


class DataSetChoice(DataSet):
    """Which images: those of a data set that has a file of its own, or what is said here."""

    images: ImagesSource | None = Field(
        default=None, description="Where the images are. Left out, what the data set's file says."
    )


class Split(Frozen):
    """How images are kept apart for evaluation."""

    protocol: Protocol | None = Field(
        default=None,
        description="Left out: a split given with the data is honoured; else cross-validation of few images, a "
        "hold-out of many.",
    )


class Network(Frozen):
    """A network and where it begins."""

    model_name: BackboneName = Field(default="efficientnet_lite0", description="Pretrained network.")
    weights: str = Field(
        default="auto", description=str(TrainingSettings.model_fields["weights"].description)
    )


class DenseNet(Network):
    """Azure's DenseNet."""

    model_name: Literal["densenet121", "densenet161", "densenet169", "densenet201"] = Field(
        default="densenet201", description="Which DenseNet."
    )


class ResNet(Network):
    """Azure's ResNet."""

    model_name: Literal[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ] = Field(default="resnet50", description="Which ResNet.")


class Search(SearchSettings):
    """How a recipe is looked for, and what the search begins with."""

    training: TrainingSettings = Field(
        default=TrainingSettings(preset="thorough"),
        description="The preset that the search begins with, device and seed.",
    )
    compute: ComputeSettings = Field(
        default=ComputeSettings(), description="Where the search runs, and what is woken for it."
    )


class Train(TrainingSettings, OptimisationChanges):
    """What is trained, how long and where."""

    served: Literal["average", "refit"] = Field(
        default="average", description=str(EvaluationSettings.model_fields["served"].description)
    )
    compute: ComputeSettings = Field(
        default=ComputeSettings(), description="Where the fine-tuning runs, and what is woken for it."
    )

    @model_validator(mode="after")
    def _patience_needs_images_to_watch(self) -> Self:
        if self.patience is not None and not self.validation_fraction:
            raise ValueError("patience watches images set aside: set validation_fraction too")
        return self


class ModelChoice(Frozen):
    """A model of the registry."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the model.")
    version: str = Field(
        default="champion",
        pattern=r"^(champion|challenger|v[1-9][0-9]*)$",
        description="champion, challenger, or v3.",
    )


class ScoreStore(Frozen):
    """What is scored, and where the scores are put."""

    images: ImagesSource = Field(description="What is scored.")
    out: WorkspaceLocation = Field(description="Where scores.parquet and scores.csv are put.")
