"""Signs that folders or file names tell which images are of one patient: a suggestion, never a group by itself."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

_WORD: Final = re.compile(
    r"(?<![a-z])(patient|pat|subject|subj|sub|participant|case|study|exam|lesion|mrn|pid|person|p|s)[ _\-#.]{0,2}"
    r"(?:id|no|nr)?[ _\-#.]{0,2}(\d+[a-z]?)(?![0-9a-z])",
    re.IGNORECASE,
)
_LAST_PART: Final = re.compile(r"(.*\d.*?)[ _\-.]+[^ _\-.]{1,16}(?: ?\(\d+\))?")
_DATE: Final = re.compile(r"\d{4}[-_.]?\d{2}[-_.]?\d{2}")

_LEAST: Final = 3
_REPEATED: Final = 0.3
_LARGEST_SHARE: Final = 0.34


def patients_in_names(rows: Sequence[tuple[str, str | None]], depth: int) -> list[str]:
    """What a person should be asked, in sentences.

    `rows` are paths with their labels; `depth` is the number of folders above which no patient stands: those of splits
    and classes.
    """
    labelled = [path for path, label in rows if label is not None]
    for look, what in (
        (lambda path: _folder(path, depth), "folders inside of the classes"),
        (_word, "numbers in the file names"),
        (_beginning, "beginnings of the file names"),
    ):
        told = _suggestion(labelled, look, what)
        if told:
            return [told]
    return []


def _suggestion(paths: Sequence[str], look: Callable[[str], str | None], what: str) -> str:
    keys = [look(path) for path in paths]
    counts = Counter(key for key in keys if key is not None)
    repeated = sum(count for count in counts.values() if count > 1)
    if len(counts) < _LEAST or repeated < _REPEATED * len(paths):
        return ""
    if max(counts.values()) > _LARGEST_SHARE * len(paths):
        return ""
    example = next(key for key, count in sorted(counts.items()) if count > 1)
    first, second = [path for path, key in zip(paths, keys, strict=True) if key == example][:2]
    return (
        f"The {what} may say which images are of one patient: {len(counts)} different ones in {len(paths)} images, "
        f"{first} and {second} have the same. Nothing is made of that: every image counts as a patient of its own, and "
        "figures flatter if a patient stands on both sides. If it is so, give a table with the columns path and group "
        "(--manifest)."
    )


def _folder(path: str, depth: int) -> str | None:
    folders = path.split("/")[depth:-1]
    return folders[0] if folders else None


def _word(path: str) -> str | None:
    found = _WORD.search(_stem(path))
    return f"{found.group(1)} {found.group(2)}".lower() if found else None


def _beginning(path: str) -> str | None:
    """All but the last part of a name, where it holds a number that is no date."""
    found = _LAST_PART.fullmatch(_stem(path))
    beginning = found.group(1) if found else ""
    return beginning.lower() if re.search(r"\d", _DATE.sub("", beginning)) else None


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name
