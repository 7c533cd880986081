"""`lightbox doctor`: what is installed, which weights can be had, which device there is, whether stores answer."""

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Annotated

from flows.command_line.options import IMAGES, WORKSPACE
from flows.config import WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.errors import LightboxError
from tasks.options.command import Command

if TYPE_CHECKING:
    from rich.table import Table

PACKAGES = (
    "prefect",
    "torch",
    "torchvision",
    "timm",
    "onnxruntime",
    "scikit-learn",
    "pandas",
    "fsspec",
    "adlfs",
)
EXTRAS = {
    "s3fs": "s3:// stores",
    "gcsfs": "gs:// stores",
    "pillow-heif": "HEIC images",
    "nilearn": "the demo's images",
}


CheckedWorkspace = Annotated[WorkspaceLocation | None, WORKSPACE.but({}, "Workspace to check for access")]
CheckedImages = Annotated[
    ImagesSource | None, IMAGES.but({"manifest": None, "labels": None}, "Images to check for access")
]


@Command
def doctor(*, workspace: CheckedWorkspace = None, images: CheckedImages = None) -> None:
    """Print what was found; exit code 1 when a store that was named does not answer."""
    from rich.console import Console

    console = Console()
    console.print(_packages())
    console.print(_device(), highlight=False)
    console.print(_server(), highlight=False)
    console.print(_weights())
    answers = []
    if workspace is not None:
        answers.append(_workspace(workspace))
    if images is not None:
        answers.append(_images(images))
    for _, words in answers:
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    sys.exit(0 if all(answered for answered, _ in answers) else 1)


def _packages() -> "Table":
    from rich.table import Table

    table = Table("package", "version", title=f"Python {platform.python_version()}", title_justify="left")
    for name in PACKAGES:
        table.add_row(name, _version(name) or "missing: run `make install`")
    for name, purpose in EXTRAS.items():
        table.add_row(name, _version(name) or f"not installed; only needed for {purpose}")
    return table


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    from tasks.training.device import compute_on

    compute = compute_on("auto")
    name = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else platform.machine()
    precision = str(compute.dtype).removeprefix("torch.")
    return f"training device: {compute.device} ({name}), {precision}, {torch.get_num_threads()} threads"


def _server() -> str:
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    return f"Prefect server: {url or 'none configured; runs stay in their own process (set PREFECT_API_URL)'}"


def _weights() -> "Table":
    from rich.table import Table

    from tasks.training.backbones import BACKBONES
    from tasks.training.weights import available_weights

    table = Table("backbone", "weights", "licence", title="pretrained weights", title_justify="left")
    for name, spec in BACKBONES.items():
        table.add_row(name, available_weights(name) or "not to be had: give --weights a URL", spec.licence)
    return table


def _workspace(location: WorkspaceLocation) -> tuple[bool, str]:
    try:
        workspace = location.open()
        workspace.check_writable()
    except LightboxError as error:
        return False, f"workspace {location.url}: {error}"
    return True, f"workspace {workspace.url}: readable and writable"


def _images(source: ImagesSource) -> tuple[bool, str]:
    from tasks.engine.run import block_options
    from tasks.stores.datastore import Datastore

    try:
        store = Datastore(source.url, block_options(source.block))
        count = len(store.blobs())
    except LightboxError as error:
        return False, f"images {source.url}: {error}"
    return True, f"images {store.url}: {count} files"
