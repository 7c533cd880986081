"""What the images hold: the endpoint's requirements are enough and lean, the CPU worker has no CUDA."""

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest
from support.repository import REPOSITORY
from support.samples.endpoint_bundles import export_small_bundle
from support.services.live_endpoint import PRIMARY, READY, picture
from support.services.required_tools import output_of, required

from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
DOCKERFILE = (REPOSITORY / "infra/containers/Dockerfile").read_text()
EXTRAS = re.findall(r"--extra (\S+?)[\"\s]", DOCKERFILE)
HEAVY = {"torch", "torchvision", "prefect", "pandas", "scikit-learn", "scipy", "matplotlib", "mlflow"}
HOW = "run `make install`"


def _exported(*options: str) -> set[str]:
    """Names of what uv would install from the lock file."""
    said = output_of(
        required("uv", HOW),
        "export",
        "--quiet",
        "--frozen",
        "--no-emit-project",
        "--no-hashes",
        "--no-annotate",
        *options,
    )
    return {row.split("==")[0] for row in said.splitlines() if "==" in row}


def test_the_endpoints_group_asks_for_nothing_that_the_package_does_not() -> None:
    group = PROJECT["dependency-groups"]["endpoint"]
    assert set(group) <= set(PROJECT["project"]["dependencies"])
    assert _exported("--only-group", "endpoint") & HEAVY == set()


def test_the_worker_images_take_extras_that_exist_and_only_one_takes_cuda() -> None:
    assert set(EXTRAS) <= set(PROJECT["project"]["optional-dependencies"])
    assert {"azure-compute", "kubernetes", "server"} <= set(EXTRAS)
    extras = [word for name in dict.fromkeys(EXTRAS) for word in ("--extra", name)]
    whole = _exported("--no-dev", *extras)
    lean = _exported("--no-dev", *extras, "--prune", "torch", "--prune", "torchvision")
    assert {"torch", "torchvision", "timm", "prefect-redis", "azure-mgmt-compute"} <= whole
    assert any(name.startswith("nvidia-") for name in whole)
    assert not any(name.startswith(("nvidia-", "cuda-")) or name in {"triton", "torch"} for name in lean)
    assert {"timm", "prefect-redis", "azure-mgmt-compute"} <= lean


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.timeout(600)
def test_the_endpoint_starts_and_answers_from_its_own_requirements_alone(tmp_path: Path) -> None:
    uv = required("uv", HOW)
    python = tmp_path / "image" / "bin" / "python"
    requirements = tmp_path / "requirements.txt"
    quiet = ("--quiet", "--no-config")
    output_of(uv, "venv", *quiet, "--python", sys.executable, str(tmp_path / "image"))
    output_of(
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--no-emit-project",
        "--only-group",
        "endpoint",
        "-o",
        str(requirements),
    )
    install = (uv, "pip", "install", "--quiet", "--python", str(python))
    output_of(*install, "--require-hashes", "--requirement", str(requirements), seconds=400)
    output_of(uv, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), seconds=200)
    output_of(*install, "--no-deps", *map(str, (tmp_path / "dist").glob("*.whl")))

    registry = Registry(Workspace(str(tmp_path / "ws")))
    registry.publish(export_small_bundle(tmp_path / "bundle"))
    registry.promote("slices", "v1", ("for a test",))
    command = [
        str(python.parent / "lightbox"),
        "serve",
        "--workspace",
        str(tmp_path / "ws"),
        "--name",
        "slices",
    ]
    environment = {
        "LIGHTBOX_PRIMARY_KEY": PRIMARY,
        "LIGHTBOX_CACHE": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
    }
    log = tmp_path / "endpoint.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", "0"], cwd=tmp_path, env=environment, stderr=output, stdout=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + 60
        while (ready := READY.search(log.read_text())) is None:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        answer = httpx.post(
            f"http://127.0.0.1:{ready[1]}/predict",
            content=picture(),
            headers={"Authorization": f"Bearer {PRIMARY}", "Content-Type": "application/octet-stream"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        assert "yes" in answer.text
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert not list((tmp_path / "image").glob("lib/python*/site-packages/torch"))
