"""What is imported where nothing is computed: forms are light, and help comes without waiting for the stages."""

import json
import subprocess
import sys

import pytest
from support.repository import REPOSITORY

COMPUTING = {
    "torch",
    "torchvision",
    "timm",
    "pandas",
    "scipy",
    "sklearn",
    "pyarrow",
    "onnxruntime",
    "optuna",
    "numpy",
}
SETTINGS = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for folder in ("tasks", "flows", "deployments")
    for path in (REPOSITORY / folder).rglob("settings.py")
)
FORMS = [
    *SETTINGS,
    "tasks.training.recipes",
    "flows.config",
    "flows.components.registry",
    "deployments.data_set_file",
]
"""Every module of forms; the last also holds the schedules that Prefect judges."""

COMMANDS = (
    "",
    "retrain",
    "search",
    "compare",
    "catalogue",
    "score",
    "demo",
    "predict",
    "doctor",
    "label start",
    "label export",
    "models list",
    "workspace prune",
)


def loaded_by(code: str) -> set[str]:
    """Top-level packages that a fresh Python has loaded after some code."""
    tail = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_forms_bring_nothing_that_computes() -> None:
    assert "tasks.automl.settings" in FORMS
    loaded = loaded_by("\n".join(f"import {module}" for module in FORMS))
    assert "pydantic" in loaded
    assert loaded & COMPUTING == set()


def test_forms_of_a_run_bring_no_prefect() -> None:
    modules = [module for module in FORMS if module != "deployments.data_set_file"]
    assert "prefect" not in loaded_by("\n".join(f"import {module}" for module in modules))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_brings_neither_prefect_nor_anything_that_computes(command: str) -> None:
    code = f"""
import sys
sys.argv = ["lightbox", *{command.split()!r}, "--help"]
from flows.command_line.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_by(code) & {"prefect", "fsspec", *COMPUTING} == set()
