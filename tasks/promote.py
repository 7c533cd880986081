"""Promote: register the model for ever, and serve it if the decision says so."""

import shutil
import tempfile
from pathlib import Path

from pydantic import Field

from tasks.decide import Verdict
from tasks.engine.run import Run
from tasks.engine.stage import progress, stage
from tasks.evaluate import EvaluatedBundle
from tasks.export import ExportedBundle
from tasks.models.manifest import BUNDLE_FILE
from tasks.models.registry import Registry, manifest_path
from tasks.models.version_report import keep_report
from tasks.record import FileReference, Record


class Published(Record):
    """An immutable version in the registry; not served by that alone."""

    version: str = Field(description="Its number.")
    uri: str = Field(description="Its full address.")
    manifest: FileReference = Field(description="Its bundle.json.")

    def in_words(self) -> str:
        """Under which version."""
        return f"registered as {self.version}; not served by that alone"


class Promotion(Record):
    """Which version is served from now on."""

    version: str = Field(description="The version that was judged.")
    champion: str | None = Field(description="The version that is served.")
    bundle_uri: str = Field(description="Address of the version that was judged.")

    def in_words(self) -> str:
        """What is served now."""
        if self.champion == self.version:
            return f"{self.version} is served"
        return f"{self.version} is not served; {self.champion or 'no model'} is"


@stage("publish", version=1)
def publish(run: Run, bundle: ExportedBundle, evaluated: EvaluatedBundle) -> Published:
    """Put the bundle, with its threshold and figures, into the registry as a new version."""
    workspace = run.open_workspace()
    with tempfile.TemporaryDirectory(prefix="lightbox-publish-") as temporary:
        folder = Path(temporary)
        for file in (*bundle.contents, *([evaluated.card] if evaluated.card else [])):
            shutil.copyfile(
                workspace.local_copy(file.path, run.cache_root, file.sha256), folder / Path(file.path).name
            )
        (folder / BUNDLE_FILE).write_bytes(run.read(evaluated.manifest))
        registry = Registry(workspace)
        version = registry.publish(folder, progress())
    return Published(
        version=version,
        uri=registry.uri(run.name, version),
        manifest=FileReference(path=manifest_path(run.name, version), sha256=evaluated.manifest.sha256),
    )


@stage("promote", version=1, reusable=False)
def promote(run: Run, published: Published, verdict: Verdict, report: FileReference) -> Promotion:
    """Let the champion be this version if the decision says so; else it is the challenger, and nothing changes.

    The report of this judgement is put beside the version first: whoever is sent to a version finds it.
    """
    workspace = run.open_workspace()
    keep_report(workspace, run.name, published.version, run.read(report))
    registry = Registry(workspace)
    reasons = tuple(verdict.decision.reasons)
    aliases = registry.aliases(run.name)
    if aliases.champion != published.version:
        if verdict.decision.verdict == "promoted":
            registry.promote(run.name, published.version, reasons, instead_of=verdict.champion)
        else:
            registry.promote(run.name, published.version, reasons, alias="challenger")
    return Promotion(
        version=published.version,
        champion=registry.aliases(run.name).champion,
        bundle_uri=published.uri,
    )
