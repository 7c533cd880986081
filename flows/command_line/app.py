"""The `lightbox` command. Each of its commands stands in a file of its own, which is imported when it is called."""

import os
import sys
from typing import Final

from cyclopts import App

COMMANDS: Final = {
    "retrain": "Pull images, check them, fine-tune, evaluate honestly, report, and promote the model if it is good "
    "enough.",
    "search": "Find the best recipe within a budget, train it, and say how good it honestly is; nothing is published.",
    "compare": "Compare two models on images that neither learnt from: figures, paired tests, and a page.",
    "catalogue": "Check the images, find copies, assign folds and measure shortcuts, without training.",
    "pipeline": "Pipelines as documents: check, run, look at, compare and keep them.",
    "label": "Label images with people, in Label Studio, assisted by a model.",
    "predict": "Say what a model thinks of image files: one JSON line a file.",
    "score": "Score every image of a store; goes on where it was stopped, bad images become rows with a reason.",
    "models": "List, show, promote and roll back model versions.",
    "report": "Fetch the report of a model version, and open it in the browser.",
    "workspace": "Show what a workspace holds, remove what is not needed, and forget patients.",
    "doctor": "Say what is installed, which weights can be had, which device there is, and whether stores answer.",
    "demo": "Make 253 brain slices with simulated lesions, and do the whole main job on them.",
}
"""Each is the object of its name in the module of its name."""

FORWARDED: Final = {
    "serve": "Answer predictions over HTTP with the champion, on a machine of its own: see `lightbox serve --help`.",
    "deploy": "Register work pools, deployments, schedules and notification: see `lightbox deploy --help`.",
}
"""Commands of `deployments`, which parse their own options."""

app = App(
    name="lightbox",
    help="Train, evaluate honestly, promote and use medical-image classifiers.",
    help_epilogue="Secrets come from the environment (AZURE_STORAGE_CONNECTION_STRING and the like) or from a "
    "Prefect block, never from an option.",
    help_format="plaintext",
)
for _name, _help in COMMANDS.items():
    app.command(f"flows.command_line.{_name}:{_name}", name=_name, help=_help)
for _name, _help in FORWARDED.items():
    app.command(
        f"flows.command_line.forward:{_name}", name=_name, help=_help, help_flags=[], version_flags=[]
    )


def main() -> None:
    """Entry point: an expected failure is one message and exit code 2."""
    from tasks.errors import LightboxError

    # Idle OpenMP threads sleep instead of spinning: on a machine that does other work too, training is several
    # times as fast. Read by the runtime when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(sys.argv[1:])
    except LightboxError as error:
        if "--debug" in sys.argv:
            raise
        _say(f"error: {error}", style="red")
        sys.exit(2)
    except KeyboardInterrupt:
        _say("Stopped. The same command goes on from the last finished stage.")
        sys.exit(130)


def _say(text: str, style: str | None = None) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False, style=style)
