"""`lightbox serve` and `lightbox deploy`: commands of another package, which this process becomes."""

import os
import sys
from typing import Annotated, NoReturn

from cyclopts import Parameter

Given = Annotated[str, Parameter(allow_leading_hyphen=True)]


def serve(*options: Given) -> None:
    """Become the endpoint, which holds neither torch nor Prefect."""
    _become("deployments.endpoint", options)


def deploy(*options: Given) -> None:
    """Become the registration."""
    _become("deployments", options)


def _become(module: str, options: tuple[str, ...]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", module, *options])  # noqa: S606 - a fixed module, no shell
