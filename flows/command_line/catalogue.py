"""`lightbox catalogue`: the images are checked, and nothing is trained."""

from typing import TYPE_CHECKING, Annotated, Any

from flows.command_line.options import DATA_SET, Checks, Images, JsonFile, Quiet, Workspace
from flows.config import DataSet
from tasks.options.command import Command

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.audit import AuditFindings
    from tasks.catalogue import Catalogue

About = Annotated[DataSet, DATA_SET.but({"finding": None, "one_image_a_patient": None, "about": None})]


@Command
def catalogue(
    *,
    images: Images,
    workspace: Workspace,
    dataset: About,
    checks: Checks,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Run the stages up to the audit."""
    from flows.command_line.summary import show_audit, show_catalogue
    from flows.command_line.terminal import present
    from tasks.audit import audit_images
    from tasks.catalogue import build_catalogue
    from tasks.engine.run import open_run
    from tasks.ingest import ingest

    run = open_run(workspace.url, workspace.block, dataset.name)

    def check() -> tuple["Catalogue", "AuditFindings"]:
        ingested = ingest(run, images)
        built = build_catalogue(run, ingested.listing, checks, dataset.positive_class)
        return built, audit_images(run, built, ingested.warnings).findings

    def show(console: "Console", checked: tuple["Catalogue", "AuditFindings"]) -> None:
        show_catalogue(console, run, checked[0])
        show_audit(console, checked[1])

    present(check, show, json_file=json, quiet=quiet, plain=_plain)


def _plain(checked: tuple["Catalogue", "AuditFindings"]) -> dict[str, Any]:
    built, findings = checked
    return {**built.model_dump(mode="json"), "audit": findings.model_dump(mode="json")}
