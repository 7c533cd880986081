"""Names that MLflow takes: a class may be called anything, a key may not."""

import hashlib
import re
from typing import Final

_NOT_TAKEN: Final = re.compile(r"[^\w \-]+")
_MOST_LETTERS: Final = 100
_DIGITS: Final = 6


def key_part(name: str) -> str:
    """A class's name as a part of a key, between two slashes.

    Letters of any script, digits, blanks, `_` and `-` stay (https://mlflow.org/docs/latest/ml/tracking, names of
    metrics). Where anything had to go, a few digits of the name's digest follow: two classes never share a key.
    """
    plain = _NOT_TAKEN.sub("_", name)[:_MOST_LETTERS].strip()
    if plain == name != "":
        return name
    return f"{plain or 'class'}-{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}"
