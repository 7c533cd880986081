"""The state of a training after each epoch, so that a killed run goes on as if it had not been.

A file is read with `weights_only`: it can hold tensors and plain values, no code.
"""

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from tasks.stores.permissions import make_private

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write the state, replacing the former one at once. `fingerprint` names all that the training depends on."""
    make_private(folder)
    temporary = folder / f".{uuid4().hex}"
    try:
        with temporary.open("xb") as file:  # torch's own file writing does not tell that a disk is full
            torch.save({"fingerprint": fingerprint, "state": state}, file)
        temporary.replace(folder / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state of the same training; None if there is none, it is damaged, or it is another training's."""
    try:
        saved = torch.load(folder / FILE, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError):
        return None
    if not isinstance(saved, dict) or saved.get("fingerprint") != fingerprint:
        return None
    state: dict[str, Any] = saved["state"]
    return state


def drop_checkpoint(folder: Path) -> None:
    """Remove the state of a training that is over, and its folder if nothing else is there."""
    (folder / FILE).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
