"""What a model must show before it is served."""

from typing import Final, Literal

from pydantic import Field

from tasks.errors import ConfigError
from tasks.record import Frozen

Side = Literal["lower bound", "value"]


class GateSettings(Frozen, title="When a model is good enough"):
    """What a model must show before it is served. Every bar must be reached; being better than chance is no option."""

    min_recall: float = Field(
        default=0.85,
        ge=0,
        le=1,
        description="Recall that must be reached: of the positive class, or, where none is named, of every class.",
    )
    recall_classes: tuple[str, ...] = Field(
        default=(), description="Classes whose recall must reach the bar, where it is not those."
    )
    min_specificity: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Specificity that must be reached at the threshold. The default refuses a model that calls "
        "nearly everything positive: that is no achievement where the threshold is set for recall.",
    )
    above_trivial_facts: bool = Field(
        default=True,
        description="Whether the AUC must exceed what each trivial fact of the files, such as their size, reaches "
        "alone: shown on the same images.",
    )
    on: Side = Field(
        default="lower bound",
        description="What is compared with bars and margin: the lower end of the 95 % interval, so "
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
    max_specificity_loss: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Specificity that a challenger may lose against the champion, each at its own threshold; it "
        "must be shown not to lose more.",
    )
    false_promotions: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="How often, in ten years of retraining twice a year, a challenger that is no better may be "
        "promoted. The same images judge one model after another, so that each comparison is stricter for it.",
    )
    renew_with_growth: float | None = Field(
        default=None,
        ge=0,
        description="Promote a challenger that is shown to be not worse too, where it learnt from at least this share "
        "more images, such as 0.5; left out: never.",
    )
    max_auc_loss: float = Field(
        default=0.01,
        ge=0,
        le=0.5,
        description="AUC that such a challenger may lose; it must be shown not to lose more.",
    )
    min_common_groups: int = Field(
        default=50,
        ge=1,
        description="Groups of copies (or patients) among the unseen images in common below which no comparison is "
        "made.",
    )

    def checked_for(self, classes: tuple[str, ...]) -> None:
        """Refuse a bar for a class that the images do not have.

        Raises:
            ConfigError.
        """
        unknown = sorted(set(self.recall_classes) - set(classes))
        if unknown:
            raise ConfigError(
                f"the gate asks for the recall of {', '.join(unknown)}; the images are labelled {', '.join(classes)}",
                cure="name classes that the images have in recall_classes",
            )


RECALL_TARGET: Final = 0.95


class ThresholdRule(Frozen):
    """What an image is called positive by: the threshold that a clinician would choose."""

    recall_target: float = Field(
        default=RECALL_TARGET,
        gt=0,
        lt=1,
        description="The share of positive images that is to be found. The threshold is chosen for it.",
    )
    insist_on_target: bool = Field(
        default=False,
        description="Lower the threshold to the recall target whatever it costs. Else it stops where one more per cent "
        "of recall costs too many false alarms, see alarms_per_recall and harm_ratio.",
    )
    alarms_per_recall: float = Field(
        default=5.0,
        gt=0,
        le=1000,
        description="Per cent of specificity that one more per cent of recall may cost; what is dearer is not bought. "
        "Not used where a harm ratio is given.",
    )
    harm_ratio: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="How many false alarms one missed positive image is worth. Given, the threshold is chosen for the "
        "least harm, at 1 / (1 + harm ratio), and the recall target only holds if it is insisted on.",
    )
    alarm_capacity: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The largest share of images that may be called positive, such as 0.2 where every fifth can be "
        "looked at. It goes before the recall target.",
    )

    @property
    def at_target(self) -> "ThresholdRule":
        """The rule that reaches the recall target whatever it costs: two models are compared at one recall."""
        return ThresholdRule(recall_target=self.recall_target, insist_on_target=True)
