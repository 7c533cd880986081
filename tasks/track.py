"""Track: show the version in MLflow, for teams that live there. What goes wrong here never fails a run."""

import logging
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.catalogue import Catalogue
from tasks.decide import Verdict
from tasks.evaluate import EvaluatedBundle
from tasks.fine_tune import TrainedMembers, read_curves
from tasks.mlflow_run import VERSION_TAG, TrackingServer
from tasks.promote import Promotion, Published
from tasks.record import Record
from tasks.report import Report
from tasks.run import Run
from tasks.stage import progress, stage

logger = logging.getLogger(__name__)

URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"


class TrackingSettings(BaseModel):
    """Whether a run is shown in MLflow, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=False, description="Log the run, its figures and its bundle to MLflow.")
    uri: str | None = Field(
        default=None,
        description="Tracking URI: http(s)://, azureml://, sqlite:///file. Left out, MLFLOW_TRACKING_URI of the "
        "environment, else a database file of this user. Credentials come from the environment alone.",
    )
    experiment: str | None = Field(
        default=None, min_length=1, max_length=250, description="Left out, the data set's name."
    )

    @field_validator("uri")
    @classmethod
    def _no_credentials(cls, uri: str | None) -> str | None:
        if uri is not None and urlsplit(uri).password is not None:
            raise ValueError(
                "a tracking URI holds no password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or MLFLOW_TRACKING_TOKEN, in the environment"
            )
        return uri

    @property
    def where(self) -> str:
        """The URI that is used."""
        return self.uri or os.environ.get(URI_VARIABLE) or f"sqlite:///{_data_home() / 'mlflow.db'}"


class Tracked(Record):
    """What came of it."""

    address: str | None = Field(description="Where the MLflow run is; None where nothing was tracked.")
    note: str | None = Field(description="Why nothing was tracked although it was asked for.")


@stage("track", version=1, reusable=False)
def track(
    run: Run,
    settings: TrackingSettings,
    found: Catalogue,
    members: TrainedMembers,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
    page: Report,
    promotion: Promotion,
) -> Tracked:
    """Log a version once: recipe, curves, figures, report, bundle, trials; and register it, under its alias."""
    try:
        server = TrackingServer(settings.where, settings.experiment or run.name)
        known = server.run_of(run.name, published.version)
        run_id = known or _logged(server, run, found, members, evaluated, verdict, published, page)
        server.register(run.name, published.version, run_id)
        server.set_aliases(run.name, published.version, promotion.champion)
    except Exception as error:  # noqa: BLE001 - any trouble of another system: the model is made and judged
        note = f"not tracked in MLflow: {_without_credentials(str(error))}"
        logger.warning(note)
        return Tracked(address=None, note=note)
    return Tracked(address=_without_credentials(server.address(run_id)), note=None)


def _logged(
    server: TrackingServer,
    run: Run,
    found: Catalogue,
    members: TrainedMembers,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
    page: Report,
) -> str:
    workspace, report = run.open_workspace(), progress()
    evaluation, decision = evaluated.evaluation, verdict.decision
    tags = {
        "lightbox.name": run.name,
        VERSION_TAG: published.version,
        "lightbox.run": run.id,
        "lightbox.decision": decision.verdict,
        "mlflow.note.content": "\n\n".join(
            [
                f"Figures of {evaluation.figures_of}, on images that the members judging them never saw, "
                f"nor a copy of them ({evaluation.protocol}).",
                f"{decision.verdict}:",
                *decision.reasons,
            ]
        ),
    }
    with server.begin(f"{run.name} {published.version}", tags) as logged:
        logged.log_parameters(
            {
                "dataset": {"digest": found.digest_of_rows, "images": found.summary.images},
                "served": members.served,
                **members.served_recipe.model_dump(mode="json"),
            }
        )
        recipes = {name: one.recipe.model_dump(mode="json") for name, one in members.networks.items()}
        logged.log_document(recipes, "recipes.json")
        logged.log_curves(read_curves(run, members))
        logged.log_figures(evaluation)
        report(1, 3, "figures and curves")
        if members.search is not None:
            logged.log_trials(members.search.leaderboard, members.search.objective.metric)
        report(2, 3, "trials")
        folder = str(Path(published.manifest.path).parent)
        files = {"evaluation.json": evaluated.evaluation_file.path, "report/index.html": page.page.path}
        files |= {f"bundle/{Path(path).relative_to(folder)}": path for path in workspace.list(folder)}
        logged.log_files(workspace, run.cache_root, files)
        report(3, 3, "report and bundle")
    return logged.run_id


def _data_home() -> Path:
    """Specification of the XDG base directories: user data outlive a cache."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lightbox"


def _without_credentials(text: str) -> str:
    """A URI of the environment may hold a password, and an error may quote it."""
    return re.sub(r"//[^/@\s]*@", "//", text)[:500]
