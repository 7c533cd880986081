"""Each wrong input stops before training, with an error that names the object, the limit and the cure."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from support.runs.main_job import lightbox, retrain_arguments

from tasks.demo.data_set import DemoSummary

pytestmark = pytest.mark.slow


def refused(*arguments: str, cache: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command that must fail as an expected failure; its message."""
    done = lightbox(*arguments, cache=cache, environment=environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cure:" in done.stderr
    return done.stderr


def written(workspace: Path) -> list[str]:
    """What stands in a workspace beyond what may be computed again, and what a run stands on."""
    names = [path.relative_to(workspace).as_posix() for path in workspace.rglob("*") if path.is_file()]
    return [
        name
        for name in names
        if not name.startswith((".lightbox", "cache/", "stages/", "datasets/")) and "/stages/" not in name
    ]


def test_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    message = refused(*retrain_arguments(tmp_path / "images", tmp_path / "ws"), cache=tmp_path / "cache")
    assert str(tmp_path / "images") in message


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    message = refused(*retrain_arguments(tmp_path / "gone", tmp_path / "ws"), cache=tmp_path / "cache")
    assert str(tmp_path / "gone") in message


def test_one_class_only(tmp_path: Path, small_demo: DemoSummary) -> None:
    shutil.copytree(small_demo.images / "yes", tmp_path / "images" / "yes")
    message = refused(*retrain_arguments(tmp_path / "images", tmp_path / "ws"), cache=tmp_path / "cache")
    assert "one class" in message
    assert written(tmp_path / "ws") == []


def test_too_few_images_a_class(tmp_path: Path, small_demo: DemoSummary) -> None:
    shutil.copytree(small_demo.images / "yes", tmp_path / "images" / "yes")
    (tmp_path / "images" / "no").mkdir()
    for file in sorted((small_demo.images / "no").iterdir())[:2]:
        shutil.copy(file, tmp_path / "images" / "no")
    message = refused(*retrain_arguments(tmp_path / "images", tmp_path / "ws"), cache=tmp_path / "cache")
    assert "'no'" in message


def test_a_class_that_is_none(tmp_path: Path, small_demo: DemoSummary) -> None:
    arguments = [*retrain_arguments(small_demo.images, tmp_path / "ws")]
    arguments[arguments.index("yes")] = "tumour"
    assert "tumour" in refused(*arguments, cache=tmp_path / "cache")


def test_two_classes_and_no_finding_named(tmp_path: Path, small_demo: DemoSummary) -> None:
    arguments = [*retrain_arguments(small_demo.images, tmp_path / "ws")]
    place = arguments.index("--positive-class")
    del arguments[place : place + 2]
    assert "--positive-class" in refused(*arguments, cache=tmp_path / "cache")


def test_a_workspace_that_cannot_be_written(tmp_path: Path, small_demo: DemoSummary) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refused(
        *retrain_arguments(small_demo.images, tmp_path / "file" / "ws"), cache=tmp_path / "cache"
    )
    assert str(tmp_path / "file") in message


@pytest.mark.parametrize(
    ("option", "value"),
    [("--backbone", "densenet999"), ("--recall-target", "1.5"), ("--folds", "1"), ("--seed", "-1")],
)
def test_a_setting_out_of_bounds(tmp_path: Path, small_demo: DemoSummary, option: str, value: str) -> None:
    arguments = [*retrain_arguments(small_demo.images, tmp_path / "ws"), option, value]
    if option == "--folds":
        del arguments[arguments.index("--folds") : arguments.index("--folds") + 2]
    message = refused(*arguments, cache=tmp_path / "cache")
    assert value in message
    assert not (tmp_path / "ws").exists()


def test_a_manifest_that_does_not_fit_the_store(tmp_path: Path, small_demo: DemoSummary) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,label\nyes/none.jpg,yes\nno/none.jpg,no\n")
    arguments = retrain_arguments(small_demo.images, tmp_path / "ws", "--manifest", str(manifest))
    assert "none.jpg" in refused(*arguments, cache=tmp_path / "cache")


def test_too_many_unusable_images(tmp_path: Path) -> None:
    for label in ("no", "yes"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (64, 64), (number * 60, 0, 0)).save(folder / f"{number}.png")
            (folder / f"broken{number}.png").write_bytes(b"x")
    message = refused(*retrain_arguments(tmp_path / "images", tmp_path / "ws"), cache=tmp_path / "cache")
    assert "max_reject_fraction" in message
    assert "not_an_image" in message


def test_weights_that_cannot_be_had(tmp_path: Path, small_demo: DemoSummary) -> None:
    arguments = retrain_arguments(small_demo.images, tmp_path / "ws", "--backbone", "densenet201")
    environment = {"LIGHTBOX_OFFLINE": "1", "TORCH_HOME": str(tmp_path / "torch")}
    message = refused(*arguments, cache=tmp_path / "cache", environment=environment)
    assert "densenet201" in message
    assert written(tmp_path / "ws") == []
