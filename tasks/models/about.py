"""What a model and its images are about, in the words of those who know: what no figure tells, and reports must."""

from typing import Final

from pydantic import Field

from tasks.record import Frozen

NOT_STATED: Final = "not stated"
"""What stands where nobody said anything."""

_LONGEST = 2_000


class AboutDataSet(Frozen, title="What readers must know"):
    """What reporting standards ask for beside figures (TRIPOD+AI, CLAIM, STARD-AI); each may be left empty."""

    intended_use: str = Field(
        default="",
        max_length=_LONGEST,
        description="Who is to use the model, on whom, at which step of care, and for what it is not meant.",
    )
    population: str = Field(
        default="",
        max_length=_LONGEST,
        description="Whose images these are: age, sex, why examined, who was left out, consecutive or chosen.",
    )
    sites: str = Field(default="", max_length=_LONGEST, description="Hospitals and scanners.")
    dates: str = Field(default="", max_length=_LONGEST, description="When the images were taken.")
    reference_standard: str = Field(
        default="",
        max_length=_LONGEST,
        description="How the label of an image came to be known: biopsy, follow-up, reports, reading of the image.",
    )
    readers: str = Field(
        default="",
        max_length=_LONGEST,
        description="Who read the images, how experienced, how many each image, and what else they knew.",
    )
    contact: str = Field(default="", max_length=_LONGEST, description="Whom to ask.")

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Title and text of each, in their order; `not stated` where nothing is said."""
        said = {name: " ".join(str(text).split()) for name, text in self}
        return [(name.replace("_", " ").capitalize(), text or NOT_STATED) for name, text in said.items()]

    @property
    def is_empty(self) -> bool:
        """Whether nobody said anything."""
        return all(text == NOT_STATED for _, text in self.rows)
