"""Report: one HTML page for people, published to the workspace and linked in Prefect."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.audit import Audit
from tasks.catalogue import Catalogue, copies_ever, read_catalogue, read_near_pairs
from tasks.check_robustness import Robustness
from tasks.clinical import Clinical
from tasks.data.catalogue_table import CatalogueTable
from tasks.decide import Verdict
from tasks.describe import Described
from tasks.engine.run import Run
from tasks.engine.stage import stage, timings_so_far
from tasks.evaluate import EvaluatedBundle, read_predictions
from tasks.evaluation.suspects import SUSPECT_COLUMNS, find_suspects
from tasks.export import ExportedBundle, load_by_manifest
from tasks.fine_tune import TrainedMembers, read_curves
from tasks.ingest import Listing, image_reader
from tasks.labelling.standing import read_standing
from tasks.models.manifest import BundleManifest
from tasks.pages.album import Album
from tasks.pages.content import (
    MOST_COPY_GROUPS,
    MOST_SUREST_HITS,
    MOST_SUSPECTS,
    MOST_WORST_ERRORS,
    DataSetFacts,
    EvaluatedPredictions,
    Finding,
    Reject,
    ReportContent,
    Serving,
)
from tasks.pages.copy_chains import copy_chains, copy_questions
from tasks.pages.history import history
from tasks.pages.leaderboard import search_facts
from tasks.pages.recipes import differing_recipes
from tasks.pages.report_page import render_page
from tasks.pages.second_looks import without_chosen, without_leaks, without_suspects
from tasks.promote import Published
from tasks.record import FileReference, Record


class Report(Record):
    """Where the report is."""

    page: FileReference = Field(description="report/index.html.")
    uri: str = Field(description="Its full address.")
    suspects: FileReference = Field(
        description="suspects.parquet, a row an image whose label is doubtful: " + ", ".join(SUSPECT_COLUMNS)
    )
    suspect_images: int = Field(ge=0, description="How many these are; none is dropped by itself.")

    def in_words(self) -> str:
        """Where it is."""
        return f"{self.suspect_images} images with a doubtful label; report at {self.uri}"


@stage("report", version=6)
def write_report(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    audit: Audit,
    members: TrainedMembers,
    exported: ExportedBundle,
    evaluated: EvaluatedBundle,
    clinical: Clinical,
    described: Described,
    robustness: Robustness | None,
    verdict: Verdict,
    published: Published,
    finding: str | None,
) -> Report:
    """Say what was done, on which data, how good the model is and how sure that is, on one page."""
    table = read_catalogue(run, catalogue)
    predictions = read_predictions(run, evaluated)
    manifest = BundleManifest.model_validate_json(run.read(evaluated.manifest))
    rows = _rows(catalogue, predictions)
    suspects = suspect_table(catalogue, predictions, rows)
    bundle = load_by_manifest(run, exported.manifest)
    album = Album(table, copies_ever(run, table), bundle, image_reader(run, listing))
    pairs = _pairs(run, catalogue, table)
    chains, questions = copy_chains(pairs), copy_questions(pairs)
    positive = catalogue.positive_index
    standing = read_standing(run.open_workspace(), run.name)
    content = ReportContent(
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        evaluation=evaluated.evaluation,
        patients=clinical.figures.patients,
        per_patient=clinical.figures.per_patient,
        practice=clinical.figures.practice,
        subgroups=clinical.figures.subgroups,
        robustness=robustness.rows if robustness else (),
        about=described.about,
        flow=described.flow,
        predictions=rows,
        decision=verdict.decision,
        serving=_serving(catalogue, exported, evaluated, verdict, published),
        dataset=_dataset(run, listing, catalogue),
        provenance=_provenance(run, manifest, members),
        seconds={row.stage: row.seconds for row in timings_so_far()},
        curves=read_curves(run, members),
        notes=members.all_notes,
        worst_errors=album.judged(predictions, rows.worst(MOST_WORST_ERRORS)),
        surest_hits=album.judged(predictions, rows.surest(MOST_SUREST_HITS, positive)),
        explained=catalogue.positive_class,
        copies=album.copy_groups(chains[:MOST_COPY_GROUPS]),
        copy_groups=len(chains),
        likely_copies=album.copy_groups(questions[:MOST_COPY_GROUPS]),
        copy_questions=len(questions),
        rejects=[Reject(*row) for row in table.rejects[["path", "reason", "detail"]].itertuples(index=False)],
        suspects=album.suspects(predictions, suspects, MOST_SUSPECTS),
        suspect_groups=int(suspects["rank"].nunique()),
        leak=evaluated.leak,
        balance=audit.findings.balance,
        shortcuts=audit.findings.shortcuts,
        second_looks=[
            *without_leaks(evaluated.leak, evaluated.evaluation_without_leaks),
            *without_suspects(evaluated.evaluation, predictions, rows, suspects),
            *without_chosen(evaluated.evaluation, predictions, rows, standing.chosen, standing.confirmed),
        ],
        comparison=verdict.comparison,
        history=history(run.open_workspace(), run.name, published.version, table),
        search=search_facts(members.search, rows, positive) if members.search else None,
        finding=Finding(finding, f"{finding}s") if finding else None,
    )
    page = run.write("report/index.html", render_page(content).encode())
    return Report(
        page=page,
        uri=run.open_workspace().uri(page.path),
        suspects=run.write("suspects.parquet", suspects.to_parquet(index=False)),
        suspect_images=len(suspects),
    )


def suspect_table(
    catalogue: Catalogue, predictions: pd.DataFrame, rows: EvaluatedPredictions
) -> pd.DataFrame:
    """Images whose label is doubtful, with SUSPECT_COLUMNS, the most suspect first."""
    suspects = find_suspects(rows.labels, rows.probabilities, rows.groups)
    frame = predictions.iloc[suspects.rows][["path", "sha256", "label"]].reset_index(drop=True)
    return frame.assign(
        suggested=[catalogue.classes[index] for index in suspects.suggested],
        self_confidence=suspects.self_confidence,
        rank=suspects.rank,
    )[SUSPECT_COLUMNS]


def _rows(catalogue: Catalogue, predictions: pd.DataFrame) -> EvaluatedPredictions:
    index = {name: place for place, name in enumerate(catalogue.classes)}
    return EvaluatedPredictions(
        labels=np.array([index[name] for name in predictions["label"]], dtype=np.int64),
        probabilities=predictions[[f"probability_{name}" for name in catalogue.classes]].to_numpy(np.float64),
        predicted=np.array([index[name] for name in predictions["predicted"]], dtype=np.int64),
        groups=pd.factorize(predictions["group"])[0].astype(np.int64),
    )


def _pairs(run: Run, catalogue: Catalogue, table: CatalogueTable) -> pd.DataFrame:
    """Copies and likely copies among the usable contents."""
    pairs = read_near_pairs(run, catalogue)
    usable = table.contents["sha256"]
    return pairs[pairs["sha256_a"].isin(usable) & pairs["sha256_b"].isin(usable)]


def _serving(
    catalogue: Catalogue,
    bundle: ExportedBundle,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
) -> Serving:
    members_judged = catalogue.protocol == "cross_validation" or bundle.served == "refit"
    return Serving(
        version=published.version,
        champion_version=verdict.champion,
        is_champion=verdict.is_champion,
        kind=bundle.served,
        n_members=bundle.members,
        figures_of="members" if members_judged else "served",
        threshold=evaluated.threshold,
        temperature=evaluated.temperature,
        operating=evaluated.operating,
        bundle_uri=published.uri,
    )


def _dataset(run: Run, listing: Listing, catalogue: Catalogue) -> DataSetFacts:
    summary = catalogue.summary
    return DataSetFacts(
        name=run.name,
        url=listing.url,
        digest=catalogue.digest_of_rows,
        images=summary.images,
        groups=summary.groups,
        exact_copies=summary.exact_copies,
        conflicts=summary.conflicts,
        unlabelled=listing.unlabelled,
        class_counts=summary.images_by_class,
        labelled=listing.labelled.words if listing.labelled else "",
    )


def _provenance(run: Run, manifest: BundleManifest, members: TrainedMembers) -> dict[str, str]:
    recipe = ", ".join(
        f"{name} {value}" for name, value in manifest.recipe.items() if not isinstance(value, dict)
    )
    return {
        "Run": run.id,
        "Workspace": run.open_workspace().url,
        "Backbone": manifest.backbone,
        "Recipe": recipe,
        **differing_recipes({name: network.recipe for name, network in members.networks.items()}),
        "Pretrained weights": f"{manifest.weights.source} ({manifest.weights.licence or 'no licence stated'})",
        "Preprocessing": ", ".join(
            f"{name} {value}" for name, value in manifest.preprocessing.model_dump().items()
        ),
        "Packages": ", ".join(f"{name} {version}" for name, version in sorted(manifest.packages.items())),
        "Code": manifest.git_commit or "not from a checkout",
        "Largest difference between graph and network": f"{max(manifest.parity.values()):.1e}",
    }
