"""What the blob store holds at first: the containers, and a demo data set to try everything with."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient

from deployments.machine.machine import Machine
from deployments.machine.settings import Demo
from tasks.demo.data_set import make_demo

WORKSPACE: Final = "lightbox"
SCANS: Final = "scans"
DEMO_FILE: Final = """\
# The demo data set, made by `make up`; the lesions are simulated. A data set of your own is a file beside this one.
dataset: {name: demo, positive_class: "yes", finding: simulated lesion}
images: {url: az://scans/demo}
workspace: {url: az://lightbox}
training: {preset: fast}
compute: {pool: gpu}
schedule: {cron: "0 3 1 1,7 *", time_zone: UTC}  # half-yearly: 03:00 on 1 January and 1 July; null: never by itself
"""


def stock(machine: Machine) -> int:
    """Make the containers, upload demo images and register their data set where they are missing; images uploaded."""
    connection = machine.client_environment["AZURE_STORAGE_CONNECTION_STRING"]
    with BlobServiceClient.from_connection_string(connection) as store:
        for name in (WORKSPACE, SCANS):
            try:
                store.create_container(name)
            except ResourceExistsError:
                continue
        if machine.settings.demo is None:
            return 0
        file = machine.folder / "data_sets" / "demo.yaml"
        if not file.exists():
            file.write_text(DEMO_FILE, encoding="utf-8")
        return _upload(store.get_container_client(SCANS), machine.folder / "demo", machine.settings.demo)


def _upload(container: ContainerClient, folder: Path, demo: Demo) -> int:
    there = set(container.list_blob_names(name_starts_with="demo/"))
    if len(there) >= demo.without_lesion + demo.with_lesion:
        return 0
    made = make_demo(folder, n_no=demo.without_lesion, n_yes=demo.with_lesion)

    def missing() -> Iterator[tuple[str, Path]]:
        for image in sorted(made.images.rglob("*")):
            name = f"demo/{image.relative_to(made.images).as_posix()}"
            if image.is_file() and name not in there:
                yield name, image

    def put(row: tuple[str, Path]) -> None:
        container.upload_blob(row[0], row[1].read_bytes(), overwrite=True)

    with ThreadPoolExecutor(8) as threads:
        return sum(1 for _ in threads.map(put, missing()))
