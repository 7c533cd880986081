"""What every test may use, and where nothing of a test may leak to."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.repository import REPOSITORY

settings.register_profile("lightbox", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("lightbox")
_HOME = tempfile.TemporaryDirectory(prefix="lightbox-tests-")
os.environ["PREFECT_HOME"] = _HOME.name
os.environ["PREFECT_LOCAL_STORAGE_PATH"] = f"{_HOME.name}/storage"
os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
os.environ.pop("PREFECT_API_URL", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as processors already
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLCONFIGDIR"] = f"{_HOME.name}/matplotlib"

pytest_plugins = [
    "support.services.azurite",
    "support.services.browser",
    "support.runs.growing_data",
    "support.runs.main_job",
    "support.services.prefect_server",
    "support.services.mlflow_server",
    "support.runs.small_search",
    "support.runs.staged_run",
    "support.samples.stored_workspace",
    "support.services.label_studio",  # it uses prefect_service
]


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees another's downloaded images."""
    monkeypatch.setenv("LIGHTBOX_CACHE", str(tmp_path / "lightbox-cache"))


@pytest.fixture(scope="session")
def brain_mri() -> Path:
    """The folder of 253 real brain MRI images that stands beside a checkout."""
    folder = REPOSITORY.parent / "shared" / "datasets" / "brain_mri"
    if not folder.is_dir():
        pytest.skip("needs ../shared/datasets/brain_mri beside the checkout")
    return folder


@pytest.fixture(scope="session", autouse=True)
def temporary_home() -> Iterator[None]:
    """Remove Prefect's home when the session ends."""
    yield
    _HOME.cleanup()
