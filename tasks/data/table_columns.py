"""Which column of a table says what: those that are named so, those that a person names, and keys of patients."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tasks.data.missing_texts import cell_text, is_missing_text
from tasks.errors import ManifestMismatch

NO_COLUMN: Final = "none"
"""What an option says where no column is to count."""

_WORDS: Final = (
    "patient|patients|pat|pt|pid|mrn|nhs|subject|subj|participant|person|proband|volunteer|individual|donor|animal|"
    "mouse|mice|client|paciente|patiente|sujet|medicalrecord",
    "case",
    "study|exam|examination|accession|visit|encounter|session|admission|series|scan",
    "lesion|nodule|tumour|tumor|specimen|biopsy|slide|block|eye|breast",
)
"""Words for what several images are of, those that hold most images first."""

_SITES: Final = (
    "site|centre|center|institution|institute|hospital|clinic|department|scanner|device|machine|vendor|"
    "station|manufacturer"
)
_IDENTIFIER: Final = (
    "id|ids|identifier|ident|no|nr|num|number|nummer|key|code|uid|uuid|guid|name|hash|pseudonym|instance|anon|"
    "anonymized|anonymised|deidentified|ref|reference|index|idx|record|medical|en|n"
)
_LEVELS: Final = tuple(re.compile(rf"(?:{_IDENTIFIER})*(?:{words})(?:{_IDENTIFIER})*") for words in _WORDS)
_NEEDS_IDENTIFIER: Final = frozenset(
    {
        "tumour",
        "tumor",
        "scan",
        "series",
        "block",
        "eye",
        "breast",
        "person",
        "pt",
        "medicalrecord",
        "slide",
        "biopsy",
    }
)
"""Words that alone rather say what is seen, or where, than which one it is."""

_SITE: Final = re.compile(rf"(?:{_IDENTIFIER})*(?:{_SITES})(?:{_IDENTIFIER})*")
_BARE: Final = re.compile(rf"(?:{_IDENTIFIER})+")
_KEY_LIKE: Final = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.\- ]{2,64}|\d{5,}|\d+(\.\d+){3,}|[0-9a-fA-F-]{32,}")
_FILE_LIKE: Final = re.compile(r".*\.[A-Za-z]{2,4}|\d{4}-\d\d-\d\d.*|.*[/\\].*")

_LEAST_KEYS: Final = 3
_LARGEST_SHARE: Final = 0.5
_REPEATED: Final = 0.2
_NUMBERED_WITHIN: Final = 2
_SMALL_NUMBER: Final = re.compile(r"\d{1,2}")


def level_of(column: str) -> int | None:
    """How coarse a key a column's name stands for, 0 a patient; None where it names no key."""
    plain = plain_name(column)
    if plain in _NEEDS_IDENTIFIER:
        return None
    return next((level for level, pattern in enumerate(_LEVELS) if pattern.fullmatch(plain)), None)


def plain_name(column: str) -> str:
    """Letters and digits alone, in lower case: PatientID and patient_id are the same."""
    return "".join(sign for sign in column.casefold() if sign.isalnum())


def named_column(columns: Iterable[str], wanted: str, option: str, where: str) -> str | None:
    """The column that an option names, however it is written; None for `none`.

    Raises: ManifestMismatch where there is no such column.
    """
    names = list(columns)
    found = [name for name in names if name == wanted.strip().lower()]
    found = found or [name for name in names if plain_name(name) == plain_name(wanted)]
    if not found and wanted.strip().lower() == NO_COLUMN:
        return None
    if len(found) != 1:
        raise ManifestMismatch(
            f"{where}: {option} {wanted} names no column, there are {', '.join(sorted(names))}",
            cure=f"name one of these with {option}, or {NO_COLUMN} for no column at all",
        )
    return found[0]


class GroupColumns:
    """Columns that may hold keys of patients, with their values row by row."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._levels = {name: level for name in columns if (level := level_of(name)) is not None}
        others = [name for name in columns if name not in self._levels]
        self._sites = [name for name in others if _SITE.fullmatch(plain_name(name))]
        self._open = [name for name in others if name not in self._sites]
        self._values: dict[str, list[str | None]] = {name: [] for name in columns}

    def __bool__(self) -> bool:
        return bool(self._levels)

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take a row's values; a column whose values are no keys is let go."""
        for name in [*self._levels, *self._sites, *self._open]:
            text = cell_text(fields.get(name))
            text = None if text is None or is_missing_text(text) else text
            if name in self._open and text is not None and not _could_be_key(name, text):
                self._open.remove(name)
                del self._values[name]
                continue
            self._values[name].append(text)

    def chosen(self, where: str) -> tuple[str | None, list[str | None], list[str]]:
        """The column whose values are the groups, those values, and what a person should know, in sentences."""
        told: list[str] = []
        usable: list[str] = []
        for name in sorted(self._levels, key=lambda name: self._levels[name]):
            doubt = self._doubt(name)
            if doubt is None:
                usable.append(name)
            else:
                told.append(
                    f"The column {name} of {where} is called like a key of patients or studies, but {doubt}: it is not "
                    f"used. If images with the same value belong together, say so with --group-column {name}."
                )
        if usable:
            told.append(self._used(usable[0], usable[1:], where))
        else:
            told += [self._asked(name, where) for name in self._open if self._looks_like_key(name)]
        told += [
            f"The column {name} of {where} says where images are from and is not used for groups. If no site may "
            f"stand on both sides of an evaluation, say so with --group-column {name}."
            for name in self._sites
            if len(self._counts(name)) > 1
        ]
        return (usable[0], self._values[usable[0]], told) if usable else (None, [], told)

    def _counts(self, name: str) -> Counter[str]:
        return Counter(value for value in self._values[name] if value is not None)

    def _doubt(self, name: str) -> str | None:
        counts, rows = self._counts(name), len(self._values[name])
        if not counts:
            return "is empty"
        if len(counts) < _LEAST_KEYS:
            return f"has {len(counts)} different values in {rows} rows"
        if max(counts.values()) > _LARGEST_SHARE * rows:
            return f"has the value of one row in {max(counts.values())} of {rows} rows"
        if self._levels[name] >= _NUMBERED_WITHIN and all(map(_SMALL_NUMBER.fullmatch, counts)):
            return "holds small numbers, which may begin anew with each patient"
        return None

    def _used(self, name: str, others: Sequence[str], where: str) -> str:
        counts, rows = self._counts(name), len(self._values[name])
        without = rows - counts.total()
        also = f" The columns {', '.join(others)} could be keys too." if others else ""
        return (
            f"The column {name} of {where} gives the groups: {len(counts)} different values in {rows} rows"
            + (f", {without} of them without one" if without else "")
            + f", and images of one value stay together in every split.{also} Another column is named with "
            f"--group-column, --group-column {NO_COLUMN} names none."
        )

    def _looks_like_key(self, name: str) -> bool:
        counts = self._counts(name)
        repeated = sum(count for count in counts.values() if count > 1)
        rows = len(self._values[name])
        shared = len(counts) >= _LEAST_KEYS and repeated >= _REPEATED * rows
        return shared and max(counts.values()) <= max(2, _LARGEST_SHARE * rows / _LEAST_KEYS)

    def _asked(self, name: str, where: str) -> str:
        counts, rows = self._counts(name), len(self._values[name])
        return (
            f"The column {name} of {where} looks like keys of patients or studies ({len(counts)} different values in "
            f"{rows} rows) and is not used: every image counts as a patient of its own. If images with the same value "
            f"belong together, say so with --group-column {name}."
        )


def _could_be_key(name: str, text: str) -> bool:
    bare = _BARE.fullmatch(plain_name(name)) is not None
    return bare or (_KEY_LIKE.fullmatch(text) is not None and not _FILE_LIKE.fullmatch(text))
