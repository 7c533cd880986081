"""The same images in a real blob store are the same data set, and an unchanged store costs no transfer."""

import json
from pathlib import Path

import fsspec
import pytest
from support.runs.main_job import FinishedRun, lightbox, retrain_arguments
from support.services.azurite import Azurite

pytestmark = [pytest.mark.service, pytest.mark.slow]


def test_blob_and_folder_give_the_same_data_set(
    finished: FinishedRun, azurite: Azurite, tmp_path: Path
) -> None:
    container = azurite.new_container().container_name
    environment = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    blobs = fsspec.filesystem("az", connection_string=azurite.connection_string, skip_instance_cache=True)
    for file in sorted(finished.demo.images.rglob("*")):
        if file.is_file():
            blobs.pipe_file(
                f"{container}/{file.relative_to(finished.demo.images).as_posix()}", file.read_bytes()
            )
    workspace = f"az://{azurite.new_container().container_name}/ws"
    url = f"az://{container}"
    out = tmp_path / "out.json"
    arguments = retrain_arguments(url, workspace, "--json", str(out), "--quiet")

    done = lightbox(*arguments, cache=tmp_path / "cache", environment=environment)
    assert done.returncode == 0, done.stderr
    first = json.loads(out.read_text())
    again = lightbox(*arguments, cache=tmp_path / "cache", environment=environment)
    assert again.returncode == 0, again.stderr
    second = json.loads(out.read_text())

    assert first["dataset"]["digest"] == finished.result["dataset"]["digest"]
    assert first["dataset"]["groups"] == finished.result["dataset"]["groups"]
    assert first["dataset"]["transferred"] == 60
    assert second["dataset"]["transferred"] == 0
    assert "fine-tune member 0" in second["reused"]
    assert first["evaluation"] == finished.result["evaluation"]
    assert azurite.key not in out.read_text()
