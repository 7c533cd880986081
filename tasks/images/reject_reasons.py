"""Why an image cannot be used: every reason there is, and what is raised with one."""

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a file is not used."""

    unreadable = "unreadable"
    truncated = "truncated"
    not_an_image = "not_an_image"
    decompression_bomb = "decompression_bomb"
    too_complex = "too_complex"
    too_large = "too_large"
    too_small = "too_small"
    unsupported = "unsupported"
    empty_file = "empty_file"
    label_missing = "label_missing"


class ImageRejected(Exception):
    """A file that cannot be used: it becomes a row with this reason, and the work goes on."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
