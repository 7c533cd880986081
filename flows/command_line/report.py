"""`lightbox report`: the report of a version, for a person's eyes."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.command_line.options import Workspace
from tasks.options.command import Command


@Command
def report(
    *,
    workspace: Workspace,
    name: Annotated[str, Parameter(help="Name of the model.")],
    version: Annotated[str, Parameter(help="A version such as v3, or champion or challenger.")] = "champion",
    open: Annotated[bool, Parameter(help="Open it in the browser.", negative="")] = False,
    out: Annotated[Path | None, Parameter(help="Where it is put; left out, this machine's cache.")] = None,
) -> None:
    """Fetch the report of a version, and say where a browser finds it."""
    import webbrowser

    from tasks.models.version_report import read_report
    from tasks.stores.fetch import default_cache_root
    from tasks.stores.permissions import created, make_private

    store = workspace.open()
    found, page = read_report(store, name, version)
    place = hashlib.sha256(store.url.encode()).hexdigest()[:16]
    file = out or default_cache_root() / "reports" / place / f"{name}-{found}.html"
    make_private(file.parent)
    file.unlink(missing_ok=True)
    with os.fdopen(created(file, 0o600), "wb") as written:
        written.write(page)
    address = file.absolute().as_uri()
    sys.stdout.write(f"{address}\n")
    if open and not webbrowser.open(address):
        sys.stderr.write("No browser could be started here: open that address in one.\n")
