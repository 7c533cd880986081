"""What a bundle says of itself: `bundle.json`, the one file that makes a folder a bundle.

It is written last and lists every other file with its SHA-256, so a folder with a readable `bundle.json` is whole.
"""

import hashlib
import json
import os
import re
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal, Self
from uuid import uuid4

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from tasks.errors import BundleError
from tasks.images.settings import DecodeLimits, Preprocessing
from tasks.models.about import AboutDataSet
from tasks.record import Frozen

SCHEMA_VERSION: Final = 3
BUNDLE_FILE: Final = "bundle.json"
CARD_FILE: Final = "model_card.md"
_LAST_SCHEMA: Final = 2
GRAPH_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "model.safetensors"
TRAINING_IMAGES_FILE: Final = "training_images.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_name(name: str) -> str:
    """A model's name, usable as a folder of any store.

    Raises:
        ValueError: it is not 1 to 64 letters, digits, dots, dashes or underscores, or begins with a sign.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no model name: 1 to 64 letters, digits, '.', '-' or '_', the first a letter or digit"
        )
    return name


def _checked_file(name: str) -> str:
    path = PurePosixPath(name)
    if (
        not path.parts
        or path.is_absolute()
        or "\\" in name
        or ":" in name
        or ".." in path.parts
        or str(path) != name
    ):
        raise ValueError(f"{name!r} is no plain path below the bundle")
    return name


ModelName = Annotated[str, AfterValidator(checked_name)]
FileName = Annotated[str, AfterValidator(_checked_file)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PretrainedWeights(Frozen):
    """Where the network began."""

    source: str = Field(
        description="URI, package or download the weights came from; `none` for a random start."
    )
    sha256: Sha256 | None = Field(description="Digest of the weights' file.")
    licence: str | None = Field(description="Licence of the weights.")


class Member(Frozen):
    """A network of the bundle with what it never saw."""

    index: int = Field(ge=0, description="Number of the member, from 0.")
    held_out: tuple[int, ...] = Field(description="Folds that this member was not trained on, ascending.")
    file: FileName = Field(description="Its graph, below the bundle.")
    backbone: str = Field(description="Name of its backbone.")
    preprocessing: Preprocessing = Field(description="How its images are prepared.")
    test_views: tuple[str, ...] = Field(
        min_length=1, description="Views of an image whose logits its graph averages."
    )
    offsets: tuple[float, ...] = Field(
        default=(),
        description="What is added to its own logits, a class, to bring them to the scale of all members; zero on "
        "average over the members, so that their mean needs none. Empty: nothing.",
    )


class FasterPrecision(Frozen):
    """How the graphs do in bfloat16, on the very images and thresholds of the evaluation in float32."""

    precision: Literal["bfloat16"] = "bfloat16"
    runtime: str = Field(description="Name and version of what computed it.")
    n: int = Field(ge=1, description="Images compared.")
    auc_difference: float | None = Field(description="AUC in bfloat16 less that in float32.")
    accuracy_difference: float = Field(description="Accuracy likewise.")
    recall_difference: float | None = Field(description="Recall of the positive class likewise.")
    specificity_difference: float | None = Field(description="Specificity likewise.")
    accepted: bool = Field(description="Whether the figures are kept, so that an endpoint may use it.")


class BundleFacts(Frozen):
    """What is known before the graphs are written; backbone, recipe, preprocessing and views are those served."""

    name: ModelName = Field(description="The model's name in the registry.")
    classes: tuple[str, ...] = Field(min_length=2, description="Class names in the order of the logits.")
    positive_class: str | None = Field(default=None, description="The class whose recall counts.")
    backbone: str = Field(description="Name of the backbone.")
    weights: PretrainedWeights
    recipe: dict[str, JsonValue] = Field(description="The recipe in full.")
    preprocessing: Preprocessing
    decode_limits: DecodeLimits = DecodeLimits()
    test_views: tuple[str, ...] = Field(
        default=("identity",), min_length=1, description="Views of an image whose logits the graph averages."
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The positive class is named at or above this calibrated probability, else the likeliest other; "
        "None names the more probable.",
    )
    temperature: float = Field(default=1.0, gt=0, description="Logits are divided by it before the softmax.")
    offsets: tuple[float, ...] = Field(
        default=(),
        description="Added to the divided logits, a class; they say how common a class is. Empty: nothing.",
    )
    dataset_digest: str = Field(description="Digest of the catalogue that it was trained from.")
    protocol: Literal["cross_validation", "holdout", "given_split"]
    served: Literal["average", "refit"] = Field(
        description="What model.onnx holds: the mean of the members' logits, or one network trained on all images."
    )
    metrics: dict[str, JsonValue] = Field(
        default_factory=dict, description="The evaluation, by images that no judged member saw."
    )
    faster: FasterPrecision | None = Field(
        default=None, description="The faster precision, where evaluation could try it."
    )
    about: AboutDataSet = Field(default=AboutDataSet(), description="What people said of the data set.")
    git_commit: str | None = Field(default=None, description="Commit of the training code.")

    @model_validator(mode="after")
    def _classes_agree(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes} hold a name twice")
        if self.positive_class is not None and self.positive_class not in self.classes:
            raise ValueError(f"positive class {self.positive_class!r} is none of {self.classes}")
        if self.threshold is not None and self.positive_class is None:
            raise ValueError("a threshold needs a positive class")
        if len(self.offsets) not in (0, len(self.classes)):
            raise ValueError(f"{len(self.offsets)} offsets for {len(self.classes)} classes")
        return self


class BundleManifest(BundleFacts):
    """The content of `bundle.json`."""

    schema_version: Literal[3] = SCHEMA_VERSION
    members: tuple[Member, ...] = Field(min_length=1)
    parity: dict[FileName, float] = Field(
        description="For each graph, the largest difference of a probability from torch's, on real images."
    )
    outer_weights: tuple[FileName, ...] = Field(
        description="Graphs that hold no weights but read them from model.safetensors beside them."
    )
    packages: dict[str, str] = Field(description="Versions of the packages that made the graphs.")
    created: AwareDatetime
    files: dict[FileName, Sha256] = Field(description="SHA-256 of every other file of the bundle.")

    @model_validator(mode="after")
    def _files_are_listed(self) -> Self:
        if [member.index for member in self.members] != list(range(len(self.members))):
            raise ValueError("members are not numbered 0, 1, 2, ...")
        for file in (
            GRAPH_FILE,
            WEIGHTS_FILE,
            TRAINING_IMAGES_FILE,
            *(member.file for member in self.members),
        ):
            if file not in self.files:
                raise ValueError(f"{file} is not among the bundle's files")
        for member in self.members:
            if len(member.offsets) not in (0, len(self.classes)):
                raise ValueError(f"member {member.index} has {len(member.offsets)} offsets")
        return self

    @model_validator(mode="after")
    def _average_is_of_one_kind(self) -> Self:
        served = (self.backbone, self.preprocessing, self.test_views)
        for member in self.members:
            differs = (member.backbone, member.preprocessing, member.test_views) != served
            if differs and (self.served == "average" or member.file == GRAPH_FILE):
                raise ValueError(
                    f"member {member.index} is served, but is of another kind than what is served"
                )
        return self

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """How images are prepared for its networks, each way once, the served one's first."""
        return tuple(dict.fromkeys((self.preprocessing, *(member.preprocessing for member in self.members))))


def read_manifest(data: bytes, where: str) -> BundleManifest:
    """Parse `bundle.json`; `where` names the bundle in errors.

    Raises:
        BundleError: it is not JSON, of another schema version, or does not fit the schema.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise BundleError(
            f"{where}: {BUNDLE_FILE} is not JSON ({error})", cure="export or publish the bundle again"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version == _LAST_SCHEMA:
        content = _of_last_schema(content)
    elif version != SCHEMA_VERSION:
        raise BundleError(
            f"{where}: bundle schema {version!r}; this version of Lightbox reads schema {SCHEMA_VERSION}",
            cure="use the version of Lightbox that wrote the bundle, or export it again with this one",
        )
    try:
        return BundleManifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise BundleError(
            f"{where}: {BUNDLE_FILE} does not fit the schema: {field}: {first['msg']}",
            cure="export or publish the bundle again",
        ) from error


def _of_last_schema(content: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 told the thresholds of single folds, by which nothing is judged any more; it had no offsets."""
    kept = {name: value for name, value in content.items() if name != "fold_rules"}
    return {**kept, "schema_version": SCHEMA_VERSION}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write `bundle.json` into a folder in one step."""
    temporary = folder / f".{uuid4().hex}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(manifest.model_dump_json(indent=2).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / BUNDLE_FILE)
    finally:
        temporary.unlink(missing_ok=True)


def of_one_model(first: BundleManifest, second: BundleManifest) -> bool:
    """Whether two bundles hold the same networks, rule and figures, whatever people wrote about their data since."""
    one, other = (
        manifest.model_copy(
            update={
                "about": AboutDataSet(),
                "files": {name: digest for name, digest in manifest.files.items() if name != CARD_FILE},
            }
        )
        for manifest in (first, second)
    )
    return one == other


def amended(manifest: BundleManifest, **changes: Any) -> BundleManifest:
    """A manifest with what evaluation found (scale, threshold, metrics, faster), validated anew.

    Raises:
        ValueError: the changed manifest does not fit the schema.
    """
    return BundleManifest.model_validate({**manifest.model_dump(), **changes})


def amend(folder: Path, **changes: Any) -> BundleManifest:
    """Put what evaluation found (scale, threshold, metrics, faster) into a bundle that is not yet published.

    Raises:
        BundleError: the folder holds no readable bundle.
        ValueError: the changed manifest does not fit the schema.
    """
    manifest = amended(read_folder(folder), **changes)
    write_manifest(folder, manifest)
    return manifest


def read_folder(folder: Path) -> BundleManifest:
    """The manifest of a local bundle.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    try:
        data = (folder / BUNDLE_FILE).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{folder} holds no readable {BUNDLE_FILE}: {error.strerror}",
            cure="name the folder of a finished export; a bundle is whole only once that file is there",
        ) from error
    return read_manifest(data, str(folder))


def timestamp() -> datetime:
    """Now, with its time zone, to the second."""
    return datetime.now().astimezone().replace(microsecond=0)
