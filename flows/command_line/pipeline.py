"""`lightbox pipeline`: pipelines as documents: check, run, look at, compare, keep versions."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flows.command_line.options import WORKSPACE, JsonFile, Quiet, Workspace
from flows.config import WorkspaceLocation
from flows.pipeline.choice import Part
from tasks.options.command import Command
from tasks.options.fields import GENERAL
from tasks.options.marks import Options

if TYPE_CHECKING:
    from tasks.pipeline.document import Document

Named = Annotated[
    str,
    Parameter(
        help="A file; the name of a template; or NAME or NAME@3 of a pipeline that is kept in the workspace."
    ),
]
SomeWorkspace = Annotated[WorkspaceLocation | None, WORKSPACE]
DataSets = Annotated[
    Path | None, Parameter(help="Folder with a YAML file for each data set, as `lightbox deploy` reads it.")
]
AnotherDataSet = Annotated[
    str | None, Parameter(help="Name of a data set to use instead of the one that the pipeline names.")
]
HowFar = Annotated[Part, Options("Part", {"start": "from"})]
Target = Annotated[
    Path | None, Parameter(group=GENERAL, help="Write it to this file; left out, to standard output.")
]

pipeline = App(name="pipeline")


@pipeline.command
@Command
def check(
    *names: Named,
    data_sets: DataSets = None,
    workspace: SomeWorkspace = None,
    json: JsonFile = None,
) -> None:
    """Say what keeps pipelines from running, all at once; nothing runs. Exit code 2 if there is anything."""
    from flows.command_line.terminal import write_json
    from flows.components.data_sets import read_data_sets
    from flows.pipeline.opening import all_problems

    known = read_data_sets(data_sets)
    found = {}
    for name in names:
        document = _opened(name, workspace)
        problems = all_problems(document, known)
        # Without a folder nobody can know which data sets there are.
        found[name] = [one for one in problems if data_sets is not None or one.place != "set.name"]
    write_json({name: [one.model_dump(mode="json") for one in rows] for name, rows in found.items()}, json)
    if json is None:
        for name, rows in found.items():
            sys.stdout.write(f"{name}: {'well' if not rows else f'{len(rows)} problems'}\n")
            sys.stdout.writelines(f"- {row}\n" for row in rows)
    if any(found.values()):
        sys.exit(2)


@pipeline.command
@Command
def run(
    name: Named,
    /,
    *,
    workspace: Workspace,
    data_sets: DataSets = None,
    data_set: AnotherDataSet = None,
    part: HowFar,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Run a pipeline. What nothing changed of is taken from earlier runs."""
    from functools import partial

    from flows.command_line.pipeline_summary import show_run
    from flows.command_line.terminal import present
    from flows.components.data_sets import read_data_sets
    from flows.pipeline.opening import ready, require_success
    from flows.pipeline.walk import walk
    from tasks.engine.run import open_run

    document = ready(_opened(name, workspace), read_data_sets(data_sets), data_set)
    results = []

    def work() -> object:
        results.append(walk(document, partial(open_run, workspace.url, workspace.block), part))
        return results[0]

    present(work, lambda console, _: show_run(console, results[0]), json_file=json, quiet=quiet)
    require_success(results[0])


@pipeline.command(name="list")
@Command
def list_pipelines(*, workspace: SomeWorkspace = None, json: JsonFile = None) -> None:
    """List the templates, and the pipelines of a workspace."""
    from flows.command_line.terminal import write_json
    from flows.pipeline.opening import templates
    from tasks.pipeline.versions import Pipelines

    rows = [
        {"name": one.name, "title": one.title, "version": None, "nodes": len(one.nodes)}
        for one in templates()
    ]
    if workspace is not None:
        kept = Pipelines(workspace.open())
        for name in kept.names():
            document = kept.read(name)
            rows.append(
                {
                    "name": name,
                    "title": document.title,
                    "version": kept.newest(name),
                    "nodes": len(document.nodes),
                }
            )
    write_json(rows, json)
    if json is None:
        for row in rows:
            where = f"version {row['version']}" if row["version"] else "template"
            sys.stdout.write(f"{row['name']}  ({where}, {row['nodes']} nodes)  {row['title'] or ''}\n")


@pipeline.command
@Command
def components(*, json: JsonFile = None) -> None:
    """List the components: what each does, takes and gives. With --json also the forms of their settings."""
    from flows.command_line.terminal import write_json
    from flows.components.registry import COMPONENTS
    from flows.pipeline.opening import described

    write_json([described(component) for component in COMPONENTS.values()], json)
    if json is None:
        for component in COMPONENTS.values():
            takes = ", ".join(
                f"{port.name}: {port.type}{'' if port.needed else ' (or left out)'}"
                for port in component.inputs
            )
            gives = f" -> {component.output}" if component.output else ""
            sys.stdout.write(f"{component.ref}  ({takes}){gives}\n    {component.words}\n")


@pipeline.command
@Command
def show(name: Named, /, *, workspace: SomeWorkspace = None, json: JsonFile = None) -> None:
    """Show a pipeline as a list: each node with what it is given and the settings that are not the defaults."""
    from flows.command_line.terminal import write_json
    from tasks.pipeline.graph import ordered

    document = _opened(name, workspace)
    write_json(document, json)
    if json is None:
        sys.stdout.write(f"{document.title or document.name}\n{document.note or ''}\n".replace("\n\n", "\n"))
        for place in dict.fromkeys([*ordered(document), *document.nodes]):
            node = document.nodes[place]
            given = ", ".join(f"{key} from {' and '.join(of)}" for key, of in node.inputs.items())
            said = ", ".join(f"{key} {value}" for key, value in node.settings.items())
            sys.stdout.write(
                f"{place}: {'; '.join(part for part in (node.component, given, said) if part)}\n"
            )


@pipeline.command
@Command
def diff(before: Named, after: Named, /, *, workspace: SomeWorkspace = None, json: JsonFile = None) -> None:
    """Say what differs between two pipelines by meaning; defaults that are said do not count."""
    from flows.command_line.terminal import write_json
    from flows.components.registry import COMPONENTS
    from tasks.pipeline.defaults import tidied
    from tasks.pipeline.difference import differences

    found = differences(*(tidied(_opened(name, workspace), COMPONENTS) for name in (before, after)))
    write_json([one.model_dump(mode="json") for one in found], json)
    if json is None:
        sys.stdout.writelines(f"{one}\n" for one in found)
        sys.stdout.write("" if found else "no difference\n")


@pipeline.command
@Command
def export(name: Named, /, *, workspace: SomeWorkspace = None, out: Target = None) -> None:
    """Write a pipeline as YAML, such as for git."""
    text = _opened(name, workspace).write()
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")


@pipeline.command(name="import")
@Command
def import_pipeline(
    file: Annotated[Path, Parameter(help="YAML of a pipeline.")],
    /,
    *,
    workspace: Workspace,
    after: Annotated[
        int,
        Parameter(help="The version of the workspace that this one was begun from; 0 for a new pipeline."),
    ] = 0,
) -> None:
    """Keep a pipeline as a new version in the workspace; refused where somebody kept another one meanwhile."""
    from flows.components.registry import COMPONENTS
    from flows.pipeline.opening import read_file
    from tasks.pipeline.defaults import tidied
    from tasks.pipeline.versions import Pipelines

    document = tidied(read_file(file), COMPONENTS)
    version = Pipelines(workspace.open()).save(document, after)
    sys.stdout.write(f"{document.name}@{version}\n")


@pipeline.command
@Command
def versions(
    name: Annotated[str, Parameter(help="A pipeline of the workspace.")],
    /,
    *,
    workspace: Workspace,
    json: JsonFile = None,
) -> None:
    """List the versions of a pipeline, the oldest first."""
    from flows.command_line.terminal import write_json
    from tasks.pipeline.versions import Pipelines

    rows = list(Pipelines(workspace.open()).history(name))
    write_json([row.model_dump(mode="json") for row in rows], json)
    if json is None:
        sys.stdout.writelines(
            f"{row.name}@{row.version}  {row.nodes} nodes  {row.digest[:12]}  {row.title or ''}\n"
            for row in rows
        )


def _opened(name: str, workspace: WorkspaceLocation | None) -> "Document":
    from flows.pipeline.opening import opened

    return opened(name, workspace)
