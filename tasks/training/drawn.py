"""What blocks of a pipeline say of a training: how images are transformed, and what differs from a preset."""

from typing import Literal

from pydantic import Field

from tasks.images.settings import Preprocessing
from tasks.record import Frozen
from tasks.training.recipes import RECIPE, SLICES, Optimisation, Probe, Recipe
from tasks.training.transforms import ColorJitter, Probability, RandomAffine, RandomTransforms


class ImageTransformation(RandomTransforms):
    """How images are prepared, always, and changed at random, in training alone: nothing random reaches a judgement.

    Names are those of the Designer's Init Image Transformation; the defaults are those of the presets.
    """

    size_px: int | None = Field(
        default=None, ge=32, le=1024, description="Side of the square. Left out, the network's own."
    )
    fit: Literal["letterbox", "squash", "center_crop"] = Field(
        default="letterbox", description=str(Preprocessing.model_fields["fit"].description)
    )
    crop_to_content: bool = Field(
        default=True, description=str(Preprocessing.model_fields["crop_to_content"].description)
    )
    color_jitter: ColorJitter | None = Field(
        default=SLICES.color_jitter, description="brightness, contrast and saturation"
    )
    random_vertical_flip: Probability = Field(
        default=SLICES.random_vertical_flip, description="probability of an up-down flip"
    )
    random_affine: RandomAffine | None = Field(
        default=SLICES.random_affine, description="rotation, shift, zoom and shear"
    )

    def preprocessing(self, size_px: int) -> Preprocessing:
        """How images are prepared for a network of a size of its own."""
        return Preprocessing(
            size_px=self.size_px or size_px, fit=self.fit, crop_to_content=self.crop_to_content
        )

    def transforms(self) -> RandomTransforms:
        """The random part."""
        return RandomTransforms.model_validate(self.model_dump(include=set(RandomTransforms.model_fields)))


class OptimisationChanges(Frozen):
    """What of a preset's optimisation is to be otherwise; what is left out stays the preset's."""

    epochs: int | None = Field(default=None, ge=1, le=1000, description="Passes over the training images.")
    batch_size: int | None = Field(default=None, ge=1, le=1024, description="Images computed at once.")
    learning_rate: float | None = Field(default=None, gt=0, le=1, description="Highest learning rate.")
    warmup_epochs: float | None = Field(
        default=None, ge=0, le=100, description="Epochs in which the learning rate rises."
    )
    optimizer: Literal["adamw", "sgd"] | None = Field(
        default=None, description="AdamW, or SGD with Nesterov momentum."
    )
    schedule: Literal["cosine", "polynomial", "step", "constant"] | None = Field(
        default=None, description="How the learning rate falls, to zero except by step."
    )
    runs: int | None = Field(
        default=None, ge=1, le=16, description="Trainings from the same start whose weights are averaged."
    )
    validation_fraction: float | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="Share of the training images, whole groups, set aside to watch.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Epochs without a lower loss on the images set aside before a training stops.",
    )

    def changed(self, optimisation: Optimisation) -> Optimisation:
        """An optimisation with what is otherwise."""
        said = self.model_dump(include=set(OptimisationChanges.model_fields), exclude_none=True)
        return Optimisation.model_validate(optimisation.model_dump() | said)


def drawn_recipe(
    recipe: Recipe, transformation: ImageTransformation | None, changes: OptimisationChanges
) -> Recipe:
    """A recipe with the transformation and the optimisation that were drawn.

    Raises: ValidationError when they do not go together with the rest of it.
    """
    said = recipe.model_dump()
    if transformation is not None:
        said["preprocessing"] = transformation.preprocessing(recipe.preprocessing.size_px).model_dump()
        said["transforms"] = transformation.transforms().model_dump()
    if not isinstance(recipe, Probe):
        said["optimisation"] = changes.changed(recipe.optimisation).model_dump()
    return RECIPE.validate_python(said)
