"""The search space: which recipes may be tried, as a person writes it in YAML, and how values become a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from tasks.automl.settings import Augmentation, Range, SearchSpace
from tasks.errors import ConfigError
from tasks.images.settings import Preprocessing
from tasks.training.backbones import BACKBONES, BackboneName
from tasks.training.recipes import FineTune, Probe
from tasks.training.transforms import NO_TRANSFORMS, ColorJitter, RandomAffine, RandomTransforms

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Base:
    """What a probe is made of and fine-tuning starts from."""

    backbone: BackboneName
    preprocessing: Preprocessing

    @property
    def name(self) -> str:
        """As in `efficientnet_lite0 224 px letterbox, cropped to content`."""
        cropped = ", cropped to content" if self.preprocessing.crop_to_content else ""
        return f"{self.backbone} {self.preprocessing.size_px} px {self.preprocessing.fit}{cropped}"


def read_space(path: Path) -> SearchSpace:
    """Read a search space from YAML.

    Raises:
        ConfigError: the file cannot be read, or names something unknown or out of bounds.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"search space {path}: {error}", cure="name a readable YAML file") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"search space {path} holds no settings", cure="write at least one, such as backbones: [resnet18]"
        )
    try:
        return SearchSpace.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"search space {path}: {field}: {first['msg']} (got {first['input']!r})",
            cure=f"known are {', '.join(SearchSpace.model_fields)}",
        ) from error


def base_of(recipe: FineTune | Probe) -> Base:
    """The base that a recipe stands on."""
    return Base(recipe.backbone, recipe.preprocessing)


def probe_of(base: Base, root: FineTune) -> Probe:
    """A linear head on the features of the images as they are."""
    return Probe(
        backbone=base.backbone,
        weights=root.weights,
        preprocessing=base.preprocessing,
        transforms=NO_TRANSFORMS,
        views=1,
    )


def starting_values(base: Base, root: FineTune, space: SearchSpace) -> dict[str, Any]:
    """The preset's own settings on a base, as far as the space allows them: what fine-tuning begins with."""
    settings = root.optimisation
    early = BACKBONES[root.backbone].early_stages
    more = 0 if root.frozen_stages is None else root.frozen_stages - early
    return within(
        {
            "learning_rate": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "label_smoothing": settings.label_smoothing,
            "class_weights": settings.class_weights,
            "epochs": settings.epochs,
            "more_frozen_stages": more,
            "augmentation": "recipe",
            "base": base.name,
        },
        space,
        root,
        [base],
    )


def within(
    values: Mapping[str, Any], space: SearchSpace, root: FineTune, bases: Sequence[Base]
) -> dict[str, Any]:
    """Values of another search, or of a preset, moved into this space; those that are not open in it are left out."""
    moved = {}
    for name, open_values in _choices(space, root, bases).items():
        if isinstance(open_values, Range):
            moved[name] = min(max(float(values[name]), open_values.low), open_values.high)
        elif values[name] in open_values:
            moved[name] = values[name]
        elif isinstance(values[name], int | float):
            moved[name] = min(open_values, key=lambda other: abs(other - values[name]))
        else:
            moved[name] = open_values[0]
    return moved


def proposed(
    trial: "optuna.Trial", space: SearchSpace, root: FineTune, bases: Sequence[Base]
) -> dict[str, Any]:
    """A value for every setting of the space, as the sampler proposes it."""
    values: dict[str, Any] = {}
    for name, choices in _choices(space, root, bases).items():
        if not isinstance(choices, Range):
            values[name] = trial.suggest_categorical(name, list(choices)) if len(choices) > 1 else choices[0]
        elif choices.low == choices.high:
            values[name] = choices.low
        else:
            value = trial.suggest_float(name, choices.low, choices.high, log=True)
            values[name] = min(max(float(f"{value:.2g}"), choices.low), choices.high)
    return values


def recipe_of(values: Mapping[str, Any], root: FineTune, bases: Sequence[Base]) -> FineTune:
    """The recipe that values stand for, trained once: the preset's repeated trainings are left to what is chosen."""
    base = next(base for base in bases if base.name == values["base"])
    spec = BACKBONES[base.backbone]
    settings = {
        name: values[name]
        for name in ("learning_rate", "weight_decay", "label_smoothing", "class_weights", "epochs")
    }
    return root.model_copy(
        update={
            "backbone": base.backbone,
            "preprocessing": base.preprocessing,
            "frozen_stages": min(spec.early_stages + values["more_frozen_stages"], spec.n_stages - 1),
            "transforms": augmented(root.transforms, values["augmentation"]),
            "optimisation": root.optimisation.model_copy(update={**settings, "runs": 1}),
        }
    )


def _choices(space: SearchSpace, root: FineTune, bases: Sequence[Base]) -> dict[str, Range | tuple[Any, ...]]:
    """What is open, in the order of asking.

    The base comes last: samplers of two folds, which begin alike and differ in their bases, then agree on all else, and
    share trainings where they agree on the base too.
    """
    return {
        "learning_rate": space.learning_rate,
        "weight_decay": space.weight_decay,
        "label_smoothing": space.label_smoothing,
        "class_weights": space.class_weights,
        "epochs": space.epochs or (root.optimisation.epochs,),
        "more_frozen_stages": space.more_frozen_stages,
        "augmentation": space.augmentation,
        "base": tuple(base.name for base in bases),
    }


def augmented(transforms: RandomTransforms, strength: Augmentation) -> RandomTransforms:
    """The random views with smaller or larger changes; turns and mirrors, which are a matter of meaning, stay."""
    if strength == "recipe":
        return transforms
    factor = 0.5 if strength == "light" else 2.0
    jitter, affine = transforms.color_jitter, transforms.random_affine
    return transforms.model_copy(
        update={
            "color_jitter": jitter
            and ColorJitter(
                brightness=min(1.0, jitter.brightness * factor),
                contrast=min(1.0, jitter.contrast * factor),
                saturation=min(1.0, jitter.saturation * factor),
            ),
            "random_affine": affine
            and RandomAffine(
                degrees=affine.degrees,
                translate=min(0.5, affine.translate * factor),
                scale=(1 - (1 - affine.scale[0]) * factor, 1 + (affine.scale[1] - 1) * factor),
                shear_degrees=affine.shear_degrees,
            ),
        }
    )
