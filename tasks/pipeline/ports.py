"""What a wire carries. No type stands for a part of the labelled images, so none can be wired to the wrong side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

PortType = Literal[
    "Images",
    "Catalogue",
    "Folds",
    "Findings",
    "Transformation",
    "Network",
    "Recipe",
    "Members",
    "Model",
    "Predictions",
    "Evaluation",
    "Comparison",
    "Decision",
    "Version",
    "Promotion",
    "Report",
    "Scores",
    "Labels",
]


@dataclass(frozen=True)
class Port:
    """A type of port as people see it: a letter of its own, and what it carries."""

    letter: str
    words: str


PORTS: Final[Mapping[PortType, Port]] = {
    "Images": Port("I", "labelled images as they lie in their store"),
    "Catalogue": Port("C", "images that were checked and grouped with their copies"),
    "Folds": Port("F", "all images, and who is held out from whom"),
    "Findings": Port("A", "what is doubtful about the images"),
    "Transformation": Port("T", "how an image is prepared, and at random in training"),
    "Network": Port("N", "a network and where it begins"),
    "Recipe": Port("R", "a recipe for each fold, found without that fold"),
    "Members": Port("M", "trained networks, each with the images that it never saw"),
    "Model": Port("B", "a bundle of trained networks"),
    "Predictions": Port("P", "what members say of images that they never saw"),
    "Evaluation": Port("E", "honest figures and the threshold"),
    "Comparison": Port("V", "two models on images that neither saw"),
    "Decision": Port("D", "whether a model is good enough, and why"),
    "Version": Port("X", "a version of the registry"),
    "Promotion": Port("S", "which version is served"),
    "Report": Port("H", "a page for people"),
    "Scores": Port("O", "what a model says of a store"),
    "Labels": Port("L", "what people were asked, and answered"),
}

_FIGURES: Final[tuple[PortType, ...]] = ("Findings", "Evaluation", "Comparison", "Decision", "Report")
_LEARNT_FROM: Final[tuple[PortType, ...]] = ("Folds", "Transformation", "Network", "Recipe")

_REASONS: Final[Mapping[tuple[PortType, PortType], str]] = {
    **dict.fromkeys(
        [("Images", "Folds"), ("Catalogue", "Folds")],
        "It must be known who is held out, or a network would be judged on images that it learnt from",
    ),
    (
        "Images",
        "Catalogue",
    ): "Images must be checked, and grouped with their copies, before anything is done with them",
    (
        "Scores",
        "Predictions",
    ): "Nobody knows whether the model had learnt from images of that store: scores are no "
    "evidence. Members judge what they never saw",
    ("Members", "Predictions"): "What is judged is the packed model, as it will be used",
    ("Members", "Model"): "Networks must be packed first, and proved to say the same as in training",
    ("Model", "Version"): "A version is registered with its honest figures",
    ("Predictions", "Decision"): "Nothing is decided without figures",
    **{
        (
            figures,
            learnt,
        ): "What is chosen by figures cannot be judged by the same figures. Search chooses a recipe "
        "for each fold by looking at the other folds alone"
        for figures in _FIGURES
        for learnt in _LEARNT_FROM
    },
}


def reason(given: PortType, wanted: PortType) -> str:
    """Why one type does not do for another, in a sentence without its full stop."""
    told = _REASONS.get((given, wanted))
    return told or f"{given} ({PORTS[given].words}) cannot stand for {wanted} ({PORTS[wanted].words})"
