"""What Lightbox cannot reach when images are to be forgotten: said, so that a person removes it."""

from collections.abc import Iterable, Sequence

from tasks.stores.layout import ENDPOINT_LOG, LABELLING
from tasks.stores.workspace import Workspace


def elsewhere(workspace: Workspace, files: Iterable[str], learnt: Sequence[str]) -> tuple[str, ...]:
    """Where else the images may be, in sentences."""
    files = tuple(files)
    labelled = sorted({fields["name"] for fields in map(LABELLING.fields, files) if fields})
    logged = sorted({fields["name"] for fields in map(ENDPOINT_LOG.fields, files) if fields})
    told = [
        "The image stores: remove the files there (their paths are shown, and kept in no record), with their older "
        "versions and soft-deleted blobs.",
        f"Backups of {workspace.url} and older versions of its blobs: let them expire, or forget again after a "
        "restore.",
        "Other machines that trained or served: run the same command there; their caches are their own.",
        "Tables that `lightbox score` and `lightbox predict` wrote, and reports that people copied.",
        "MLflow, where runs are tracked: reports among the artifacts of the runs.",
        "The Prefect server: artifacts and logs of flow runs may name a file.",
    ]
    told += [
        f"Label Studio, projects of {name}: delete the tasks and uploads whose data name the digest."
        for name in labelled
    ]
    told += [
        f"Endpoints of {name}: what they have not sent to the workspace yet comes within two hours; forget again then."
        for name in logged
    ]
    told += [
        f"{version} learnt from it. Its weights were not changed: train without it, promote, and prune."
        for version in learnt
    ]
    return tuple(told)
