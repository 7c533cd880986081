"""What is to be forgotten, and why."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.record import Frozen

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ForgetSettings(Frozen):
    """Which images are to be forgotten: by their digests, or all of a patient of a data set."""

    sha256: tuple[Digest, ...] = Field(
        default=(), description="Digest of an image file; may be given several times."
    )
    name: str | None = Field(default=None, description="Data set that --group belongs to.")
    group: str | None = Field(
        default=None, min_length=1, description="Group key (a patient, a study), as the manifest spells it."
    )
    by: str = Field(min_length=1, max_length=200, description="Who does it; kept in the record.")
    reason: str = Field(
        min_length=1,
        max_length=500,
        description="Why, such as the number of the request; kept in the record, so no name here.",
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.sha256 and self.group is None:
            raise ValueError("nothing to forget is named: give a digest, or a data set and a group")
        if (self.group is None) != (self.name is None):
            raise ValueError("a group belongs to a data set: give both its name and the group")
        return self
