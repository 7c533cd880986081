"""Results as JSON, for programs."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def write_json(result: BaseModel | Any, target: Path | None) -> None:
    """Write a result to a file, or to standard output for `-`."""
    if target is None:
        return
    plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    text = json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if str(target) == "-":
        sys.stdout.write(text)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
