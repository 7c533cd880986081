"""Report: one HTML page for people, published to the workspace and linked in Prefect."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.images import decode, prepare
from tasks.decide import Verdict
from tasks.evaluate import EvaluatedBundle
from tasks.evaluation.content import (
    MOST_WORST_ERRORS,
    CopyGroup,
    DataSetFacts,
    EvaluatedPredictions,
    Finding,
    Picture,
    Reject,
    ReportContent,
    Serving,
)
from tasks.evaluation.page import MOST_COPY_GROUPS, MOST_PICTURES_A_GROUP, render_page
from tasks.export import ExportedBundle
from tasks.fine_tune import TrainedMembers, read_curves
from tasks.ingest import Listing, image_reader
from tasks.models.manifest import BundleManifest
from tasks.promote import Published
from tasks.record import FileReference, Record
from tasks.run import Run
from tasks.stage import stage, timings_so_far

Read = Callable[[str], bytes]


class Report(Record):
    """Where the report is."""

    page: FileReference = Field(description="report/index.html.")
    uri: str = Field(description="Its full address.")


@stage("report", version=1)
def report(
    run: Run,
    listing: Listing,
    found: Catalogue,
    members: TrainedMembers,
    exported: ExportedBundle,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
    finding: str | None,
) -> Report:
    """Say what was done, on which data, how good the model is and how sure that is, on one page."""
    table = read_catalogue(run, found)
    read = image_reader(run, listing)
    predictions = read_predictions(run, evaluated)
    manifest = BundleManifest.model_validate_json(run.open_workspace().read(evaluated.manifest.path))
    rows = _rows(found, predictions)
    content = ReportContent(
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        evaluation=evaluated.evaluation,
        predictions=rows,
        decision=verdict.decision,
        serving=_serving(found, exported, evaluated, verdict, published),
        dataset=_dataset(run, listing, found),
        provenance=_provenance(run, found, manifest),
        seconds={row.stage: row.seconds for row in timings_so_far()},
        curves=read_curves(run, members),
        worst_errors=_worst_errors(found, predictions, rows, read, manifest),
        copies=_copies(table, read, manifest),
        rejects=[Reject(*row) for row in table.rejects[["path", "reason", "detail"]].itertuples(index=False)],
        comparison=verdict.comparison,
        finding=Finding(finding, f"{finding}s") if finding else None,
    )
    page = run.write("report/index.html", render_page(content).encode())
    uri = run.open_workspace().uri(page.path)
    return Report(page=page, uri=uri)


def read_predictions(run: Run, evaluated: EvaluatedBundle) -> pd.DataFrame:
    """One row a reported image: path, sha256, group, fold, label, predicted, threshold, probability_<class>."""
    return pd.read_parquet(io.BytesIO(run.open_workspace().read(evaluated.predictions.path)))


def _rows(found: Catalogue, predictions: pd.DataFrame) -> EvaluatedPredictions:
    index = {name: place for place, name in enumerate(found.classes)}
    return EvaluatedPredictions(
        labels=np.array([index[name] for name in predictions["label"]], dtype=np.int64),
        probabilities=predictions[[f"probability_{name}" for name in found.classes]].to_numpy(np.float64),
        predicted=np.array([index[name] for name in predictions["predicted"]], dtype=np.int64),
        groups=pd.factorize(predictions["group"])[0].astype(np.int64),
    )


def _serving(
    found: Catalogue,
    exported: ExportedBundle,
    evaluated: EvaluatedBundle,
    verdict: Verdict,
    published: Published,
) -> Serving:
    promoted = verdict.decision.verdict == "promoted"
    members_judged = found.protocol == "cross_validation" or exported.served == "refit"
    return Serving(
        version=published.version,
        champion_version=published.version if promoted else verdict.champion,
        kind=exported.served,
        n_members=exported.members,
        figures_of="members" if members_judged else "served",
        threshold=evaluated.threshold,
        temperature=evaluated.temperature,
        bundle_uri=published.uri,
    )


def _dataset(run: Run, listing: Listing, found: Catalogue) -> DataSetFacts:
    summary = found.summary
    return DataSetFacts(
        name=run.name,
        url=listing.url,
        digest=found.digest_of_rows,
        images=summary.images,
        groups=summary.groups,
        exact_copies=summary.exact_copies,
        conflicts=summary.conflicts,
        unlabelled=listing.unlabelled,
        class_counts=summary.images_by_class,
    )


def _provenance(run: Run, found: Catalogue, manifest: BundleManifest) -> dict[str, str]:
    recipe = ", ".join(
        f"{name} {value}" for name, value in manifest.recipe.items() if not isinstance(value, dict)
    )
    return {
        "Run": run.id,
        "Workspace": run.open_workspace().url,
        "Data set digest": found.digest_of_rows,
        "Backbone": manifest.backbone,
        "Recipe": recipe,
        "Pretrained weights": f"{manifest.weights.source} ({manifest.weights.licence or 'no licence stated'})",
        "Preprocessing": ", ".join(
            f"{name} {value}" for name, value in manifest.preprocessing.model_dump().items()
        ),
        "Packages": ", ".join(f"{name} {version}" for name, version in sorted(manifest.packages.items())),
        "Code": manifest.git_commit or "not from a checkout",
        "Largest difference between graph and network": f"{max(manifest.parity.values()):.1e}",
    }


def _worst_errors(
    found: Catalogue,
    predictions: pd.DataFrame,
    rows: EvaluatedPredictions,
    read: Read,
    manifest: BundleManifest,
) -> list[Picture]:
    distinct: list[Picture] = []
    shown: set[str] = set()
    for row in rows.worst(4 * MOST_WORST_ERRORS):
        image = predictions.iloc[int(row)]
        if image["sha256"] in shown or len(distinct) == MOST_WORST_ERRORS:
            continue
        shown.add(image["sha256"])
        pixels = prepare(decode(read(image["path"]), manifest.decode_limits).pixels, manifest.preprocessing)
        named = found.positive_class or image["predicted"]
        distinct.append(
            Picture(
                path=image["path"],
                label=image["label"],
                pixels=pixels,
                predicted=image["predicted"],
                probability=float(image[f"probability_{named}"]),
            )
        )
    return distinct


def _copies(table: CatalogueTable, read: Read, manifest: BundleManifest) -> list[CopyGroup]:
    """Groups of copies, those with most distinct pictures first."""
    pictures = table.contents.drop_duplicates("pixel_sha256")
    sizes = pictures["group"].value_counts()
    groups = sorted(sizes[sizes > 1].items(), key=lambda item: (-item[1], str(item[0])))[:MOST_COPY_GROUPS]
    found = []
    for group, size in groups:
        some = pictures[pictures["group"] == group].head(MOST_PICTURES_A_GROUP)
        shown = [
            Picture(path=path, label=label, pixels=decode(read(path), manifest.decode_limits).pixels)
            for path, label in zip(some["path"], some["label"], strict=True)
        ]
        found.append(CopyGroup(pictures=shown, note=f"{size} different files"))
    return found
