"""The form of labelling: who is asked what, and when people agree."""

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from tasks.record import Frozen

DEFAULT_INSTRUCTIONS: Final = (
    "Look at the image and press the key beside its class, then submit. "
    "Press 0 when it is not usable: not such an image at all, or damaged. Skip it when you cannot tell. "
    "Where a class is chosen already, that is the machine's suggestion: correct it when it is wrong."
)


class AgreementRule(Frozen, title="Agreement"):
    """How many people look at an image, and when they agree."""

    min_labellers: int = Field(default=1, ge=1, le=20, description="People who look at each image.")
    max_labellers: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Without a majority further people are asked, up to so many; then a review decides. Left out: "
        "no more than look at each image.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_more_than_asked_first(cls, values: Any) -> Any:
        if isinstance(values, dict) and "min_labellers" in values:
            return {"max_labellers": values["min_labellers"], **values}
        return values

    @model_validator(mode="after")
    def _ordered(self) -> "AgreementRule":
        if self.max_labellers < self.min_labellers:
            raise ValueError(
                f"max_labellers {self.max_labellers} is below min_labellers {self.min_labellers}"
            )
        return self


class LabellingSettings(Frozen, title="Labelling"):
    """How a data set is labelled."""

    classes: tuple[str, ...] = Field(
        default=(), max_length=1000, description="Class names. Left out: those that the data have already."
    )
    url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://[^\s?#@]+$",
        description="Where Label Studio answers. Its token comes from the environment or a block, never from here.",
    )
    token_block: str | None = Field(
        default=None,
        description="Lightbox Label Studio block with the token; else LIGHTBOX_LABEL_STUDIO_TOKEN.",
    )
    agreement: AgreementRule = Field(
        default=AgreementRule(), description="How many people, and when they agree."
    )
    instructions: str = Field(
        default=DEFAULT_INSTRUCTIONS, max_length=10_000, description="What people read before they begin."
    )
    assist: bool = Field(
        default=True, description="Whether a model suggests labels and chooses what is asked next."
    )
    precision: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="A suggestion is shown when those as sure as it were right so often on held-out labels.",
    )
    queue_images: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="Unanswered images that stand in Label Studio at once; the rest is chosen at a later sync.",
    )
    random_share: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="Share of the unlabelled images asked about that are drawn at random, whatever the model thinks of "
        "them: figures on these speak for all images, figures on chosen ones do not.",
    )
    images_by: Literal["upload", "link"] = Field(
        default="upload",
        description="upload: copies in Label Studio, behind its login. link: signed links into the image store, made "
        "anew by each sync (Azure, S3, Google).",
    )
    link_hours: float = Field(default=24, gt=0, le=168, description="How long a signed link is valid.")
    suspects: bool = Field(default=True, description="Ask again about labels that the last report doubts.")
    low_confidence: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Ask about images of the endpoint's log whose probability was below; 0: about none.",
    )
    retrain_after: int = Field(
        default=50,
        ge=1,
        description="So many newly settled labels call for a retraining, by a Prefect event.",
    )
