"""What a model must show before it is served."""

from typing import Literal

from pydantic import Field

from tasks.record import Frozen

Side = Literal["lower bound", "value"]


class GateSettings(Frozen):
    """What a model must show before it is served."""

    min_recall: float = Field(default=0.85, ge=0, le=1, description="Recall that must be reached.")
    on: Side = Field(
        default="lower bound",
        description="What is compared with the bar and the margin: the lower end of the 95 % interval, so "
        "that noise does not promote, or the figure itself.",
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="AUC by which a challenger must exceed the champion; equal is a tie.",
    )
    max_recall_loss: float = Field(
        default=0.02, ge=0, le=1, description="Recall that a challenger may lose against the champion."
    )
    min_common_images: int = Field(
        default=50, ge=1, description="Unseen images in common below which no comparison is made."
    )
