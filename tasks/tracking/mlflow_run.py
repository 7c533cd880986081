"""One Lightbox version as an MLflow run, its trials as nested runs, its bundle as a registered model.

Optional: extra `mlflow`. MLflow's own usage reports are turned off unless the environment turns them on.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

from tasks.automl.tried import Tried
from tasks.errors import ConfigError
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.record import FileReference
from tasks.stores.workspace import Workspace
from tasks.tracking.keys import key_part
from tasks.training.loop import EpochRow

if TYPE_CHECKING:
    from mlflow.entities import Metric

VERSION_TAG: Final = "lightbox.version"
_MOST_METRICS: Final = 1000
"""Of one request: mlflow.org/docs/latest/api_reference/rest-api.html, Log Batch."""
_MOST_PARAMETERS: Final = 100
_QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default waits minutes for a server that is away
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class TrackingServer:
    """An MLflow server, or a database file, with one experiment."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Open it, making the experiment where there is none.

        Raises:
            ConfigError: MLflow is not installed. mlflow.MlflowException: the server does not answer or refuses.
        """
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise ConfigError("MLflow is not installed", cure="pip install 'lightbox[mlflow]'") from error
        self.uri = uri
        file = _database_file(uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment)
        # Beside a database of our own; MLflow would put files below the working directory.
        place = None if file is None else file.parent.joinpath(f"{file.stem}-artifacts").resolve().as_uri()
        self._experiment = (
            found.experiment_id
            if found
            else self.client.create_experiment(experiment, artifact_location=place)
        )

    def run_of(self, name: str, version: str) -> str | None:
        """The finished run of a version, if there is one."""
        runs = self.client.search_runs(
            [self._experiment],
            f"tags.`{VERSION_TAG}` = '{version}' and tags.`lightbox.name` = '{name}' "
            "and attributes.status = 'FINISHED'",
            max_results=1,
        )
        return runs[0].info.run_id if runs else None

    def address(self, run_id: str) -> str:
        """Where the run is looked at; of a database file, with the file named."""
        if self.uri.startswith("http"):
            return f"{self.uri.rstrip('/')}/#/experiments/{self._experiment}/runs/{run_id}"
        return f"{self.uri}#{run_id}"

    @contextmanager
    def begin(self, name: str, tags: Mapping[str, str]) -> Iterator["MlflowRun"]:
        """A run that ends as FINISHED, or as FAILED where an error passes through."""
        run = self.client.create_run(self._experiment, run_name=name, tags=dict(tags))
        status: Literal["FINISHED", "FAILED"] = "FAILED"
        try:
            yield MlflowRun(self, run.info.run_id)
            status = "FINISHED"
        finally:
            self.client.set_terminated(run.info.run_id, status)

    def register(self, name: str, version: str, run_id: str) -> str:
        """The registered model's version that stands for ours, made where there is none; answer its number."""
        known = self._registered(name, version)
        if known is not None:
            return known
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        source = f"{self.client.get_run(run_id).info.artifact_uri}/bundle"
        made = self.client.create_model_version(name, source, run_id, tags={VERSION_TAG: version})
        return str(made.version)

    def set_aliases(self, name: str, version: str, champion: str | None) -> None:
        """Let `champion` point to our champion, and `challenger` to `version` where that is another one."""
        if champion is not None and (served := self._registered(name, champion)) is not None:
            self.client.set_registered_model_alias(name, "champion", served)
        judged = self._registered(name, version)
        if judged is None:
            return
        if version != champion:
            self.client.set_registered_model_alias(name, "challenger", judged)
        elif "challenger" in self.client.get_model_version(name, judged).aliases:
            self.client.delete_registered_model_alias(name, "challenger")

    def _registered(self, name: str, version: str) -> str | None:
        for found in self.client.search_model_versions(f"name = '{name}'"):
            if found.tags.get(VERSION_TAG) == version:
                return str(found.version)
        return None


class MlflowRun:
    """One run that is being written."""

    def __init__(self, server: TrackingServer, run_id: str) -> None:
        self._server, self._client, self.run_id = server, server.client, run_id

    def log_parameters(self, settings: Mapping[str, Any]) -> None:
        """Nested settings under dotted names."""
        from mlflow.entities import Param

        rows = [Param(key, str(value)) for key, value in _flat(settings)]
        for start in range(0, len(rows), _MOST_PARAMETERS):
            self._client.log_batch(self.run_id, params=rows[start : start + _MOST_PARAMETERS])

    def log_figures(self, evaluation: Evaluation) -> None:
        """Each figure with its 95 % interval as `_lower` and `_upper`; of many classes, each class's as well."""
        named = [("", evaluation)]
        if len(evaluation.classes) > 2:
            named += [(f"{key_part(one.name)}/", one) for one in evaluation.per_class]  # type: ignore[misc]
        figures = {"ece": evaluation.ece, "images": float(evaluation.n), "groups": float(evaluation.n_groups)}
        for prefix, record in named:
            for field, value in record:
                if isinstance(value, Estimate):
                    ends = {"": value.value, "_lower": value.lower, "_upper": value.upper}
                    figures |= {f"{prefix}{field}{end}": x for end, x in ends.items() if x is not None}
        self._log([self._metric(key, value) for key, value in figures.items()])

    def log_curves(self, curves: Mapping[str, Sequence[EpochRow]]) -> None:
        """Training curves by network, a step an epoch."""
        rows = []
        for network, epochs in curves.items():
            for row in epochs:
                watched = {
                    "train_loss": row.train_loss,
                    "validation_loss": row.validation_loss,
                    "validation_auc": row.validation_auc,
                }
                rows += [
                    self._metric(f"{key_part(network.replace(' ', '-'))}/{key}", value, row.epoch)
                    for key, value in watched.items()
                    if value is not None
                ]
        self._log(rows)

    def log_files(self, workspace: Workspace, cache_root: Path, files: Mapping[str, FileReference]) -> None:
        """Workspace files, verified, by the path they get in the run."""
        with tempfile.TemporaryDirectory(prefix="lightbox-track-") as temporary:
            for number, (place, source) in enumerate(files.items()):
                path = PurePosixPath(place)
                local = Path(temporary) / str(number) / path.name
                local.parent.mkdir()
                shutil.copyfile(workspace.local_copy(source.path, cache_root, source.sha256), local)
                folder = None if path.parent == PurePosixPath(".") else str(path.parent)
                self._client.log_artifact(self.run_id, str(local), folder)
                local.unlink()

    def log_document(self, document: dict[str, Any], place: str) -> None:
        """A JSON document."""
        self._client.log_dict(self.run_id, document, place)

    def log_trials(self, tried: Sequence[Tried], objective: str) -> None:
        """A nested run for each recipe that a search has tried, with its curve."""
        for one in tried:
            tags = {"mlflow.parentRunId": self.run_id, "lightbox.state": one.state}
            if one.reason is not None:
                tags["lightbox.reason"] = one.reason
            with self._server.begin(f"trial {one.number}", tags) as nested:
                what = {"kind": one.kind, "backbone": one.backbone, "size_px": one.size_px}
                nested.log_parameters({**what, **one.values})
                ends = {"": one.score, "_lower": one.lower, "_upper": one.upper}
                figures = {f"{objective}{end}": x for end, x in ends.items() if x is not None}
                figures |= {"seconds": one.seconds, "epochs": float(one.epochs)}
                rows = [nested._metric(key, value) for key, value in figures.items()]
                nested._log(
                    rows + [nested._metric("train_loss", at.train_loss, at.epoch) for at in one.curve]
                )

    def _metric(self, key: str, value: float, step: int = 0) -> "Metric":
        from mlflow.entities import Metric

        return Metric(key, float(value), int(time.time() * 1000), step)

    def _log(self, rows: Sequence["Metric"]) -> None:
        for start in range(0, len(rows), _MOST_METRICS):
            self._client.log_batch(self.run_id, metrics=rows[start : start + _MOST_METRICS])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _database_file(uri: str) -> Path | None:
    """The file of an embedded database."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
