"""`python -m deployments.endpoint`: the command that `lightbox serve` is."""

from typing import Annotated

from cyclopts import App

from deployments.command_line import run_command
from deployments.endpoint.settings import ServeSettings
from tasks.options.command import Command
from tasks.options.marks import As, Options

Serving = Annotated[
    ServeSettings,
    Options("Serving", {"log": As(title="Log"), "limits": As("", title="Limits")}),
]

app = App(
    name="serve",
    help="Answer predictions over HTTP with a model's champion, until SIGTERM.",
    help_epilogue="POST /score (the Designer endpoint's and AutoML's JSON), POST /predict (files), GET / (a page to "
    "try it), GET /docs, /openapi.json, /metrics, /health/live, /health/ready. Keys: LIGHTBOX_PRIMARY_KEY and "
    "LIGHTBOX_SECONDARY_KEY; with none, this machine only is served.",
    help_format="plaintext",
    version_flags=[],
)


@app.default
@Command
def serve(*, settings: Serving) -> None:
    """Serve until SIGTERM."""
    from deployments.endpoint.server import serve as run

    run(settings)


if __name__ == "__main__":
    run_command(app)
