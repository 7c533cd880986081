"""The bases of a search: every backbone, size and preprocessing that may be tried, as far as weights can be had."""

from tasks.automl.settings import SearchSpace
from tasks.automl.space import Base
from tasks.errors import ConfigError
from tasks.images.settings import Preprocessing
from tasks.training.backbones import BACKBONES, BackboneName
from tasks.training.recipes import FineTune
from tasks.training.weights import available_weights


def bases_of(space: SearchSpace, root: FineTune) -> tuple[Base, ...]:
    """Every backbone, size and preprocessing of the space: first each backbone once, cheapest first, then the rest.

    Raises:
        ConfigError: weights of a named backbone cannot be had, or of none at all.
    """
    backbones = space.backbones or _on_this_machine(root)
    missing = [name for name in backbones if available_weights(name, root.weights) is None]
    if missing or not backbones:
        raise ConfigError(
            f"the search space holds no backbone whose weights can be had ({', '.join(missing) or 'none named'})",
            cure="`lightbox doctor` lists what can be had; name those, or put the weights into torch's cache",
        )
    rounds: dict[tuple[int, bool, str], list[Base]] = {}
    for name in backbones:
        own = BACKBONES[name].default_size_px
        for place, size_px in enumerate(space.sizes_px or (own,)):
            for fit in space.fit:
                for crop in space.crop_to_content:
                    preprocessing = Preprocessing(size_px=size_px, fit=fit, crop_to_content=crop)
                    rounds.setdefault((place, crop, fit), []).append(Base(name, preprocessing))
    return tuple(base for some in rounds.values() for base in some)


def _on_this_machine(root: FineTune) -> tuple[BackboneName, ...]:
    """Without a download: by package or torch's cache."""
    if root.weights.source != "auto":
        return (root.backbone,)
    offline = root.weights.model_copy(update={"offline": True})
    return tuple(
        spec.name for spec in BACKBONES.values() if available_weights(spec.name, offline) is not None
    )
