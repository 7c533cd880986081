"""Track: show the version in MLflow, for teams that live there. What goes wrong here never fails a run."""

import logging
import re
from pathlib import PurePosixPath

from pydantic import Field

from tasks.catalogue import Catalogue
from tasks.decide import Verdict
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.evaluate import EvaluatedBundle
from tasks.fine_tune import TrainedMembers, read_curves
from tasks.models.manifest import BUNDLE_FILE, read_manifest
from tasks.promote import Promotion, Published
from tasks.record import FileReference, Record
from tasks.report import Report
from tasks.tracking.mlflow_run import VERSION_TAG, TrackingServer
from tasks.tracking.settings import TrackingSettings

logger = logging.getLogger(__name__)


class Tracked(Record):
    """What came of it."""

    address: str | None = Field(description="Where the MLflow run is; None where nothing was tracked.")
    note: str | None = Field(description="Why nothing was tracked although it was asked for.")

    def in_words(self) -> str:
        """Where the run is, or why there is none."""
        return self.address or self.note or ""


@stage("track", version=1, reusable=False)
def track_run(
    run: Run,
    settings: TrackingSettings,
    catalogue: Catalogue,
    members: TrainedMembers,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
    report: Report,
    promotion: Promotion,
) -> Tracked:
    """Log a version once: recipe, curves, figures, report, bundle, trials; and register it, under its alias."""
    try:
        server = TrackingServer(settings.where, settings.experiment or run.name)
        known = server.run_of(run.name, published.version)
        run_id = known or _logged(server, run, catalogue, members, evaluated, verdict, published, report)
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
    catalogue: Catalogue,
    members: TrainedMembers,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
    page: Report,
) -> str:
    report = progress()
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
                "dataset": {"digest": catalogue.digest_of_rows, "images": catalogue.summary.images},
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
        files = {"evaluation.json": evaluated.evaluation_file, "report/index.html": page.page}
        files |= {f"bundle/{name}": file for name, file in _bundle_files(run, published).items()}
        logged.log_files(run.open_workspace(), run.cache_root, files)
        report(3, 3, "report and bundle")
    return logged.run_id


def _bundle_files(run: Run, published: Published) -> dict[str, FileReference]:
    """Every file of a published bundle by its name in it."""
    manifest = read_manifest(run.read(published.manifest), published.uri)
    folder = PurePosixPath(published.manifest.path).parent
    files = {
        name: FileReference(path=f"{folder}/{name}", sha256=sha256) for name, sha256 in manifest.files.items()
    }
    return {**files, BUNDLE_FILE: published.manifest}


def _without_credentials(text: str) -> str:
    """A URI of the environment may hold a password, and an error may quote it."""
    return re.sub(r"//[^/@\s]*@", "//", text)[:500]
