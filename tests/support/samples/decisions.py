"""Decisions for tests, in the order in which they are made."""

import hashlib
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tasks.labelling.decision import Decision

START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count()


def digest(image: str) -> str:
    """The digest of an image that is nothing but its name."""
    return hashlib.sha256(image.encode()).hexdigest()


def say(by: str, label: str | None, image: str = "a", **more: Any) -> Decision:
    """What somebody says of an image, later than all before; None rejects."""
    number = next(_numbers)
    said = {
        "id": f"{number}",
        "sha256": digest(image),
        "path": f"{image}.png",
        "answer": "reject" if label is None else "label",
        "label": label,
        "by": by,
        "source": "person",
        "time": START + timedelta(seconds=number),
        "project": "test",
    }
    return Decision.model_validate(said | more)
