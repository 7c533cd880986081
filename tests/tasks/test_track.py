"""A run in MLflow, on a real server: what a team that lives there finds, once, under the right alias."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.runs.main_job import FinishedRun, lightbox, retrain_arguments

from tasks.automl.tried import CurvePoint, Tried
from tasks.models.version_report import REPORT_FILE
from tasks.tracking.mlflow_run import TrackingServer
from tasks.tracking.settings import TrackingSettings

pytestmark = [pytest.mark.service, pytest.mark.slow]


def retrained(
    finished: FinishedRun, workspace: Path, *more: str, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """The result of a run whose stages are all taken from an earlier one."""
    out = workspace.parent / "out.json"
    arguments = retrain_arguments(finished.demo.images, workspace, "--json", str(out), *more)
    done = lightbox(*arguments, cache=finished.cache, environment=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(out.read_text())
    return result


@pytest.fixture
def workspace(finished: FinishedRun, tmp_path: Path) -> Path:
    return shutil.copytree(finished.workspace, tmp_path / "ws")


def test_a_version_is_logged_once_and_registered_as_champion(
    finished: FinishedRun, workspace: Path, mlflow_server: str, tmp_path: Path
) -> None:
    result = retrained(finished, workspace, "--tracking-uri", mlflow_server)
    server = TrackingServer(mlflow_server, "small")
    run_id = server.run_of("small", "v1")
    assert run_id is not None
    assert result["tracked"] == server.address(run_id)
    logged = server.client.get_run(run_id).data
    for figure in ("recall", "specificity", "auc"):
        estimate = result["evaluation"][figure]
        ends = [logged.metrics[f"{figure}{end}"] for end in ("", "_lower", "_upper")]
        assert ends == [estimate["value"], estimate["lower"], estimate["upper"]]
    assert logged.params["backbone"] == "efficientnet_lite0"
    assert logged.params["optimisation.epochs"] == "4"
    assert logged.params["dataset.digest"] == result["dataset"]["digest"]
    assert "never saw" in logged.tags["mlflow.note.content"]
    losses = server.client.get_metric_history(run_id, "member-1/train_loss")
    assert [point.step for point in losses] == [1, 2, 3, 4]

    registered = server.client.get_model_version_by_alias("small", "champion")
    assert registered.run_id == run_id
    folder = Path(server.client.download_artifacts(run_id, "", str(tmp_path)))
    bundle = workspace / "models" / "small" / "v1"
    for file in bundle.iterdir():
        if file.name == REPORT_FILE:  # the version's copy of the report, which is logged by itself
            continue
        assert (folder / "bundle" / file.name).read_bytes() == file.read_bytes()
    assert (folder / "report" / "index.html").read_bytes() == Path(result["report"]).read_bytes()
    assert set(json.loads((folder / "recipes.json").read_text())) == {"member 0", "member 1", "member 2"}

    again = retrained(finished, workspace, "--tracking-uri", mlflow_server)
    assert again["tracked"] == result["tracked"]
    assert len(server.client.search_model_versions("name = 'small'")) == 1


def test_trials_are_nested_and_aliases_follow_the_decision(mlflow_server: str) -> None:
    server = TrackingServer(mlflow_server, "searched")
    what: dict[str, Any] = {"kind": "fine_tune", "backbone": "resnet18", "size_px": 224, "images": 60}
    what |= {"trainings": 6, "seconds": 12.5, "finished_at_seconds": 30.0, "epochs": 2}
    good = Tried(
        number=1, **what, values={"learning_rate": 3e-4}, state="survivor", score=0.9, lower=0.8, upper=0.95,
        curve=(CurvePoint(epoch=1, train_loss=0.7), CurvePoint(epoch=2, train_loss=0.5)),
    )  # fmt: skip
    bad = Tried(
        number=2, **what, values={}, state="failed", score=None, lower=None, upper=None, reason="not finite"
    )
    runs = []
    for version in ("v1", "v2"):
        tags = {"lightbox.name": "searched", "lightbox.version": version}
        with server.begin(f"searched {version}", tags) as run:
            run.log_trials([good, bad] if version == "v1" else [], "auc")
        runs.append(run.run_id)
        server.register("searched", version, run.run_id)
    experiment = server.client.get_experiment_by_name("searched")
    assert experiment is not None
    nested = server.client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{runs[0]}'", order_by=["run_name"]
    )
    assert [run.info.run_name for run in nested] == ["trial 1", "trial 2"]
    assert (nested[0].data.params["learning_rate"], nested[0].data.metrics["auc_lower"]) == ("0.0003", 0.8)
    steps = server.client.get_metric_history(nested[0].info.run_id, "train_loss")
    assert [(point.step, point.value) for point in steps] == [(1, 0.7), (2, 0.5)]
    assert nested[1].data.tags["lightbox.reason"] == "not finite"

    def aliases() -> dict[str, str]:
        found = server.client.get_registered_model("searched").aliases
        return {
            alias: str(server.client.get_model_version("searched", n).run_id) for alias, n in found.items()
        }

    server.set_aliases("searched", "v1", champion="v1")
    server.set_aliases("searched", "v2", champion="v1")
    assert aliases() == {"champion": runs[0], "challenger": runs[1]}
    server.set_aliases("searched", "v2", champion="v2")
    assert aliases() == {"champion": runs[1]}


def test_without_a_uri_a_database_of_the_user_is_used(
    finished: FinishedRun, workspace: Path, tmp_path: Path
) -> None:
    result = retrained(finished, workspace, "--track", environment={"XDG_DATA_HOME": str(tmp_path / "data")})
    uri, run_id = result["tracked"].split("#")
    assert uri == f"sqlite:///{tmp_path}/data/lightbox/mlflow.db"
    kept = list((tmp_path / "data" / "lightbox" / "mlflow-artifacts").glob(f"{run_id}/artifacts/bundle/*"))
    assert {file.name for file in kept} >= {"bundle.json", "model.onnx"}


def test_a_server_that_is_away_is_a_note_and_tells_no_password(
    finished: FinishedRun, workspace: Path
) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://me:hidden@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    result = retrained(finished, workspace, "--track", environment=away)
    assert result["tracked"] is None
    (note,) = [note for note in result["notes"] if note.startswith("not tracked in MLflow")]
    assert "hidden" not in note
    assert result["champion"] == "v1"
    with pytest.raises(ValidationError, match="MLFLOW_TRACKING_PASSWORD"):
        TrackingSettings(enabled=True, uri="https://me:hidden@mlflow.example")
