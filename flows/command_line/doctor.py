"""`lightbox doctor`: what is installed, which weights can be had, which device there is, whether stores answer."""

import platform
from importlib import metadata

from rich.console import Console
from rich.table import Table

from tasks.errors import LightboxError

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
EXTRAS = {"s3fs": "s3:// stores", "gcsfs": "gs:// stores", "nilearn": "the demo's images"}


def examine(workspace: str | None, images: str | None) -> int:
    """Print what was found; exit code 1 when a store that was named does not answer."""
    console = Console()
    console.print(_packages())
    console.print(_device(), highlight=False)
    console.print(_server(), highlight=False)
    console.print(_weights())
    answers = [_workspace(workspace), _images(images)]
    for answer in answers:
        if answer is not None:
            console.print(answer[1], highlight=False, markup=False, soft_wrap=True)
    return 1 if any(answer is not None and not answer[0] for answer in answers) else 0


def _packages() -> Table:
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


def _weights() -> Table:
    from tasks.training.backbones import BACKBONES
    from tasks.training.weights import available_weights

    table = Table("backbone", "weights", "licence", title="pretrained weights", title_justify="left")
    for name, spec in BACKBONES.items():
        table.add_row(name, available_weights(name) or "not to be had: give --weights a URL", spec.licence)
    return table


def _workspace(url: str | None) -> tuple[bool, str] | None:
    from tasks.stores.workspace import Workspace

    if url is None:
        return None
    try:
        workspace = Workspace(url)
        workspace.check_writable()
    except LightboxError as error:
        return False, f"workspace {url}: {error}"
    return True, f"workspace {workspace.url}: readable and writable"


def _images(url: str | None) -> tuple[bool, str] | None:
    from tasks.stores.datastore import Datastore

    if url is None:
        return None
    try:
        store = Datastore(url)
        count = len(store.blobs())
    except LightboxError as error:
        return False, f"images {url}: {error}"
    return True, f"images {store.url}: {count} files"
