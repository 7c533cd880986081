"""How the commands of this folder end: an expected failure is one message and exit code 2."""

import sys
from collections.abc import Callable
from typing import Any

from tasks.errors import LightboxError


def run_command(app: Callable[[], Any]) -> None:
    """Run a command; with `--debug` an expected failure keeps its traceback."""
    try:
        app()
    except LightboxError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
