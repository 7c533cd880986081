"""The run forms: what a person may change about a run, with bounds, defaults and a description each.

Settings of one stage stand with the stage; here is what concerns several.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.automl.settings import SearchSettings
from tasks.errors import ConfigError
from tasks.evaluation.settings import ThresholdRule
from tasks.models.about import AboutDataSet
from tasks.record import Frozen
from tasks.stores.urls import StoreUrl
from tasks.training.backbones import BACKBONES, BackboneName
from tasks.training.recipes import (
    PRESETS,
    PresetName,
    Recipe,
    Symmetry,
    TrainingOptions,
    WeightsChoice,
    within_symmetry,
)

if TYPE_CHECKING:
    from tasks.stores.workspace import Workspace

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class WorkspaceLocation(Frozen, title="Workspace"):
    """Where Lightbox keeps what it makes."""

    url: StoreUrl = Field(min_length=1, description="fsspec URL or folder that Lightbox owns.")
    block: str | None = Field(
        default=None, description="Name of a Lightbox Datastore block with the secrets for this URL."
    )

    def open(self) -> "Workspace":
        """The workspace, with the secrets of its block or of the environment.

        Raises: ConfigError without the block; AccessDenied without the secrets.
        """
        from tasks.engine.run import block_options
        from tasks.stores.workspace import Workspace

        return Workspace(self.url, block_options(self.block))


class StoreLocation(Frozen, title="Backups"):
    """Where backups are kept: another store than the workspace's."""

    url: StoreUrl = Field(min_length=1, description="fsspec URL or folder that holds backups only.")
    block: str | None = Field(
        default=None, description="Name of a Lightbox Datastore block with the secrets for this URL."
    )

    def open(self) -> "Workspace":
        """The store, with the secrets of its block or of the environment.

        Raises: ConfigError without the block; AccessDenied without the secrets.
        """
        return WorkspaceLocation(url=self.url, block=self.block).open()


class DataSet(Frozen, title="Data set"):
    """What the images are about."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description="Name of the data set and of the model made from it: lower-case letters, digits, - and _.",
    )
    positive_class: str | None = Field(
        default=None, description="The class that is looked for, such as yes. Needed with two classes."
    )
    finding: str | None = Field(
        default=None,
        max_length=40,
        description="The finding in a reader's words, such as tumour, for the report.",
    )
    about: AboutDataSet = Field(
        default=AboutDataSet(),
        description="What reports must say beside figures; what is left empty is told as not stated.",
    )
    one_image_a_patient: bool = Field(
        default=False,
        description="Say yes only if no patient has two images here. Without this and without a patient's key (column "
        "group of the table) the report warns that its figures may be far too good.",
    )


class TrainingSettings(Frozen, title="Training"):
    """What is trained, and how long."""

    preset: PresetName = Field(
        default="standard",
        description="fast: short fine-tuning of the last stages, a minute for 250 images on a CPU. standard: longer, "
        "of more stages. thorough: the recipe is searched for, see the section search.",
    )
    symmetry: Symmetry = Field(
        default="any",
        description="What may be done to a picture without changing what it shows. any: turned and mirrored "
        "(slices, microscopy, skin). mirror: left and right swapped. none: neither (chest X-rays, where the heart's "
        "side matters; anything with text).",
    )
    backbone: BackboneName | None = Field(
        default=None,
        description="Pretrained network; `lightbox doctor` lists them. Left out, the preset's own choice.",
    )
    weights: str = Field(
        default="auto",
        description="auto: torch cache, package or torchvision's download, whichever there is. A URL: weights "
        "of your own mirror (.safetensors or .pth). none: random start, only when you mean it.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to train. auto: a GPU where there is one."
    )
    devices: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many GPUs of one machine share one training. Without a GPU as many processes, slower than one "
        "on small sets.",
    )
    on_missing_device: Literal["refuse", "cpu"] = Field(
        default="refuse",
        description="What to do where a GPU was chosen and is missing: refuse, or train on the CPU and say so.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of everything random.")

    def recipe(self) -> Recipe:
        """The preset's recipe with the backbone and weights that were asked for."""
        preset = PRESETS[self.preset]
        changes: dict[str, object] = {"weights": WeightsChoice(source=self.weights)}
        if self.backbone is not None:
            size_px = BACKBONES[self.backbone].default_size_px
            changes["backbone"] = self.backbone
            changes["preprocessing"] = preset.preprocessing.model_copy(update={"size_px": size_px})
        return within_symmetry(preset.model_copy(update=changes), self.symmetry)

    def searches(self, search: SearchSettings) -> bool:
        """Whether there is to be a search."""
        return search.mode == "on" or (search.mode == "by_preset" and self.preset == "thorough")

    def options_here(self) -> tuple[TrainingOptions, str | None]:
        """What a training depends on beside its recipe, and why it runs on the CPU where that was not chosen.

        Raises: ConfigError when the device that was chosen is missing on this machine and none may replace it, or
        there are fewer devices than were asked for.
        """
        from tasks.training.device import check_devices, compute_on

        try:
            compute_on(self.device)
        except ConfigError as error:
            if self.on_missing_device == "refuse":
                raise
            fallback = (
                f"trained on the CPU: the device that was chosen, {self.device}, is missing ({error.message})"
            )
            return TrainingOptions(seed=self.seed, device="cpu"), fallback
        check_devices(self.device, self.devices)
        return TrainingOptions(seed=self.seed, device=self.device, devices=self.devices), None


class EvaluationSettings(ThresholdRule, title="Evaluation"):
    """How the model is evaluated and what is served."""

    prevalence: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of images with the finding where the model is to be used, such as 0.02: for that the report "
        "says how many alarms are right and how many findings are missed. Left out, that of the images here.",
    )
    robustness_images: int | None = Field(
        default=None,
        ge=0,
        le=5_000,
        description="How many images are judged again after small changes (JPEG, blur, brightness, contrast, crop). "
        "Left out: 100, and none with the preset fast; 0: none.",
    )
    served: Literal["average", "refit"] = Field(
        default="average",
        description="average: the members of the cross-validation together. refit: one network trained again on "
        "all images; its figures are those of the members.",
    )

    @property
    def rule(self) -> ThresholdRule:
        """By which the threshold is chosen."""
        return ThresholdRule(**{name: getattr(self, name) for name in ThresholdRule.model_fields})

    def robustness_sample(self, preset: PresetName) -> int:
        """How many images are judged again after small changes."""
        if self.robustness_images is not None:
            return self.robustness_images
        return 0 if preset == "fast" else 100
