"""What is trained and how, as data: a recipe holds every choice that makes one run differ from another."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from tasks.images.settings import Preprocessing
from tasks.record import Frozen
from tasks.stores.urls import StoreUrl
from tasks.training.backbones import BackboneName
from tasks.training.transforms import ColorJitter, RandomAffine, RandomTransforms

OFFLINE_VARIABLE: Final = "LIGHTBOX_OFFLINE"

PresetName = Literal["fast", "standard", "thorough"]
Symmetry = Literal["any", "mirror", "none"]
"""What may be done to a picture without changing its meaning: turned and mirrored, mirrored, nothing."""

TestView = Literal["identity", "hflip", "vflip", "rot180", "rot90", "rot270", "transpose", "antitranspose"]


VIEWS: Final[Mapping[str, tuple[bool, tuple[int, ...]]]] = {
    "identity": (False, ()),
    "hflip": (False, (3,)),
    "vflip": (False, (2,)),
    "rot180": (False, (2, 3)),
    "rot90": (True, (2,)),
    "rot270": (True, (3,)),
    "transpose": (True, ()),
    "antitranspose": (True, (2, 3)),
}
"""The eight symmetries of a square: whether rows and columns change places, then which axes of (N, C, H, W)
are reversed. Turns are counter-clockwise."""


class WeightsChoice(Frozen):
    """Where a network begins."""

    source: StoreUrl = Field(
        "auto", description="auto, none (a random start), or the URI of a .safetensors, .pth or .pt file"
    )
    offline: bool = Field(
        default=False, description=f"never download; {OFFLINE_VARIABLE}=1 in the environment does the same"
    )


class Optimisation(Frozen):
    """How the weights are fitted."""

    epochs: int = Field(10, ge=1, le=1000, description="passes over the training images")
    runs: int = Field(
        1,
        ge=1,
        le=16,
        description="trainings from the same start, each of all epochs in another order, on other views; their "
        "weights are averaged (model soup, arXiv:2203.05482)",
    )
    batch_size: int = Field(16, ge=1, le=1024, description="images computed at once")
    accumulate: int = Field(1, ge=1, le=256, description="batches whose gradients make one step")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with Nesterov momentum")
    learning_rate: float = Field(3e-4, gt=0, le=1, description="highest learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(0.01, ge=0, le=1, description="decoupled in AdamW, L2 in SGD")
    schedule: Literal["cosine", "polynomial", "step", "constant"] = Field(
        "cosine", description="how the learning rate falls, to zero except by step"
    )
    polynomial_power: float = Field(1.0, gt=0, le=10, description="of the polynomial schedule")
    step_epochs: int = Field(5, ge=1, le=1000, description="epochs between the falls of the step schedule")
    step_factor: float = Field(0.1, gt=0, lt=1, description="what a fall multiplies the learning rate by")
    warmup_epochs: float = Field(0.0, ge=0, le=100, description="epochs in which the learning rate rises")
    gradient_norm: float | None = Field(None, gt=0, description="gradients are clipped to this norm")
    class_weights: Literal["none", "sqrt", "balanced"] = Field(
        "balanced", description="weight of a class in the loss: equal, or by the (root of the) inverse count"
    )
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="share of the label spread over all classes")
    ema_decay: float | None = Field(
        0.95, ge=0, lt=1, description="decay a step of the weights' moving average, which is what is kept"
    )
    validation_fraction: float = Field(
        0.0, ge=0, le=0.5, description="share of the training images, whole groups, set aside to watch"
    )
    patience: int | None = Field(
        None, ge=1, le=1000, description="epochs without a lower validation loss before stopping"
    )


class _Recipe(Frozen):
    backbone: BackboneName = Field("efficientnet_lite0", description="pretrained network")
    weights: WeightsChoice = Field(WeightsChoice(), description="where the network begins")
    preprocessing: Preprocessing = Field(Preprocessing(), description="from an image file to a square")
    transforms: RandomTransforms = Field(RandomTransforms(), description="random views, in training only")
    test_views: tuple[TestView, ...] = Field(
        ("identity",), min_length=1, description="views whose logits are averaged at inference"
    )


class Probe(_Recipe):
    """A linear head on the features of a frozen backbone."""

    kind: Literal["probe"] = "probe"
    views: int = Field(4, ge=1, le=64, description="random views of each image that are learnt from")
    inner_folds: int = Field(
        4, ge=2, le=20, description="folds, by group, in which the regularisation is chosen"
    )


class FineTune(_Recipe):
    """The later stages are trained from a probe's head; the early ones are frozen and computed once."""

    kind: Literal["fine_tune"] = "fine_tune"
    optimisation: Optimisation = Optimisation()
    frozen_stages: int | None = Field(
        None, ge=0, le=64, description="stages kept from the start; left out, the backbone's early ones"
    )
    freeze_depthwise: bool = Field(True, description="keep depthwise convolutions: slow to train on a CPU")
    views: int = Field(16, ge=1, le=256, description="random views of each image; epochs take them in turn")
    probe_views: int = Field(4, ge=0, le=64, description="views behind the first head; 0 begins at zero")
    inner_folds: int = Field(4, ge=2, le=20, description="folds in which the probe is regularised")
    batch_norm: Literal["frozen"] = Field("frozen", description="statistics stay those of the pretraining")


class Full(_Recipe):
    """Everything is trained."""

    kind: Literal["full"] = "full"
    optimisation: Optimisation = Optimisation(learning_rate=1e-4, warmup_epochs=1.0)
    frozen_stages: int = Field(0, ge=0, le=64, description="stages kept from the start")
    freeze_depthwise: bool = Field(False, description="keep depthwise convolutions: slow to train on a CPU")
    views: int = Field(100_000, ge=1, description="random views of each image; epochs take them in turn")
    probe_views: int = Field(1, ge=0, le=64, description="views behind the first head; 0 begins at zero")
    inner_folds: int = Field(4, ge=2, le=20, description="folds in which the probe is regularised")
    batch_norm: Literal["frozen", "trained"] = Field(
        "trained", description="whether statistics follow the training images"
    )

    @model_validator(mode="after")
    def _statistics_are_not_averaged(self) -> Self:
        if self.optimisation.runs > 1 and self.batch_norm == "trained":
            raise ValueError(
                "runs above 1 need batch_norm frozen: statistics of several runs have no average"
            )
        return self


Recipe = Annotated[Probe | FineTune | Full, Field(discriminator="kind")]
RECIPE: Final[TypeAdapter[Probe | FineTune | Full]] = TypeAdapter(Recipe)
"""Reads a recipe back from JSON: `RECIPE.validate_json(text)`."""

SLICES: Final = RandomTransforms(
    color_jitter=ColorJitter(),
    random_vertical_flip=0.5,
    random_affine=RandomAffine(degrees=180, translate=0.05, scale=(0.85, 1.15)),
)
"""A lesion is one however the slice lies."""

_FOUR: Final[tuple[TestView, ...]] = ("identity", "hflip", "vflip", "rot180")
_EIGHT: Final[tuple[TestView, ...]] = (*_FOUR, "rot90", "rot270", "transpose", "antitranspose")

UPRIGHT_DEGREES: Final = 15.0
"""How far a picture that has an upright position may be turned in training."""


def within_symmetry(recipe: Probe | FineTune | Full, symmetry: Symmetry) -> Probe | FineTune | Full:
    """The recipe without random views and test views that would change what a picture means.

    `any` keeps everything; `mirror` keeps left-right flips and small turns, `none` small turns only.
    """
    if symmetry == "any":
        return recipe
    mirrored = symmetry == "mirror"
    views: tuple[TestView, ...] = ("identity", "hflip") if mirrored else ("identity",)
    transforms, affine = recipe.transforms, recipe.transforms.random_affine
    turned = transforms.random_rotation
    upright = transforms.model_copy(
        update={
            "random_horizontal_flip": transforms.random_horizontal_flip if mirrored else 0.0,
            "random_vertical_flip": 0.0,
            "random_rotation": None if turned is None else min(turned, UPRIGHT_DEGREES),
            "random_affine": affine
            and affine.model_copy(update={"degrees": min(affine.degrees, UPRIGHT_DEGREES)}),
        }
    )
    kept = tuple(view for view in recipe.test_views if view in views) or ("identity",)
    return recipe.model_copy(update={"transforms": upright, "test_views": kept})


PRESETS: Final[dict[PresetName, Probe | FineTune | Full]] = {
    "fast": FineTune(
        transforms=SLICES,
        test_views=_FOUR,
        frozen_stages=4,
        optimisation=Optimisation(epochs=4, warmup_epochs=0.5, gradient_norm=1.0),
    ),
    "standard": FineTune(
        transforms=SLICES,
        test_views=_EIGHT,
        optimisation=Optimisation(epochs=6, runs=2, warmup_epochs=0.5, gradient_norm=1.0),
    ),
    "thorough": FineTune(
        transforms=SLICES,
        test_views=_EIGHT,
        views=24,
        optimisation=Optimisation(epochs=6, runs=4, warmup_epochs=0.5, gradient_norm=1.0),
    ),
}
"""Compared on 253 brain MRI slices; the README has the figures."""


class TrainingOptions(Frozen):
    """What a training depends on beside its recipe and its images."""

    seed: int = Field(ge=0, description="Seed of everything random.")
    device: Literal["auto", "cpu", "cuda"] = Field(description="Where to train.")
    devices: int = Field(default=1, ge=1, description="GPUs, or CPU processes, that share one training.")
