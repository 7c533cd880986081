"""All components: what they are called, what fits, and the forms of their settings. Light to import."""

from typing import Final

from flows.components.settings import (
    DataSetChoice,
    DenseNet,
    ModelChoice,
    Network,
    ResNet,
    ScoreStore,
    Search,
    Split,
    Train,
)
from flows.config import EvaluationSettings
from tasks.data.settings import CatalogueSettings
from tasks.evaluation.settings import GateSettings
from tasks.labelling.settings import LabellingSettings
from tasks.pipeline.component import Component, Components, Input
from tasks.tracking.settings import TrackingSettings
from tasks.training.drawn import ImageTransformation

_AT_TRAIN: Final = {"served": "set it at Train, which makes what is served"}

_DATA: Final = (
    Component(
        name="data_set",
        group="Data",
        title="Data set",
        words="Lists a store and fetches what changed. Another name here is another data set.",
        azure="Convert to Image Directory",
        does="flows.components.data:data_set",
        output="Images",
        settings=DataSetChoice,
        stages=("ingest",),
        names_model=True,
    ),
    Component(
        name="check_images",
        group="Data",
        title="Check images",
        words="Refuses unusable images, finds copies and gives each group of copies its fold for ever.",
        does="flows.components.data:check_images",
        inputs=(Input("images", "Images", "the images to check"),),
        output="Catalogue",
        settings=CatalogueSettings,
        elsewhere={"protocol": "set it at Split"},
        stages=("catalogue",),
    ),
    Component(
        name="split",
        group="Data",
        title="Split",
        words="Says who is held out from whom. It gives all images: no part of them crosses a wire.",
        azure="Split Image Directory",
        does="flows.components.data:split",
        inputs=(Input("catalogue", "Catalogue", "the checked images"),),
        output="Folds",
        settings=Split,
    ),
    Component(
        name="audit",
        group="Data",
        title="Audit",
        words="Measures how well trivial facts alone predict the label.",
        does="flows.components.data:audit",
        inputs=(Input("catalogue", "Catalogue", "the checked images"),),
        output="Findings",
        stages=("audit",),
    ),
)

_TRAINING: Final = (
    Component(
        name="image_transformation",
        group="Training",
        title="Image transformation",
        words="How images are prepared, and changed at random. Training takes both, judging only the preparation.",
        azure="Init Image Transformation, Apply Image Transformation",
        does="flows.components.train:image_transformation",
        output="Transformation",
        settings=ImageTransformation,
    ),
    *(
        Component(
            name=name,
            group="Training",
            title=title,
            words=f"{title}, pretrained, as the network to train.",
            azure=azure,
            does="flows.components.train:network",
            output="Network",
            settings=form,
        )
        for name, title, azure, form in (
            ("densenet", "DenseNet", "DenseNet", DenseNet),
            ("resnet", "ResNet", "ResNet", ResNet),
            ("backbone", "Any network", None, Network),
        )
    ),
    Component(
        name="search",
        group="Training",
        title="Search",
        words="Finds a recipe for each fold by networks that never saw the fold.",
        azure="Automated ML",
        does="flows.components.train:search",
        inputs=(Input("folds", "Folds", "the images, and who is held out"),),
        output="Recipe",
        settings=Search,
        elsewhere={"mode": "leave it out: a search node searches"},
        stages=("search",),
    ),
    Component(
        name="train",
        group="Training",
        title="Train",
        words="Trains a network for each part that is held out, never on what it will be judged on.",
        azure="Train PyTorch Model",
        does="flows.components.train:train",
        inputs=(
            Input("folds", "Folds", "the images, and who is held out"),
            Input(
                "network",
                "Network",
                "left out, the preset's own",
                needed=False,
                replaces=("backbone", "weights"),
            ),
            Input("transformation", "Transformation", "left out, the preset's own", needed=False),
            Input(
                "recipe",
                "Recipe",
                "what a search found, instead of a preset",
                needed=False,
                replaces=(
                    *("network", "transformation", "preset", "backbone", "weights", "symmetry", "epochs"),
                    *("batch_size", "learning_rate", "warmup_epochs", "optimizer", "schedule", "runs"),
                    *("validation_fraction", "patience"),
                ),
            ),
        ),
        output="Members",
        settings=Train,
        stages=("prepare", "fine-tune"),
        agree={"Folds": ("folds", "recipe")},
    ),
    Component(
        name="package",
        group="Training",
        title="Package",
        words="Makes one bundle of the networks, and proves that it says what they say.",
        does="flows.components.train:package",
        inputs=(Input("members", "Members", "the trained networks"),),
        output="Model",
        stages=("export",),
    ),
)

_JUDGING: Final = (
    Component(
        name="score_unseen",
        group="Judging",
        title="Score unseen images",
        words="Lets each image be judged by the networks that saw neither it nor a copy of it.",
        azure="Score Image Model",
        does="flows.components.judge:score_unseen",
        inputs=(Input("model", "Model", "the bundle"),),
        output="Predictions",
        stages=("predict",),
    ),
    Component(
        name="evaluate",
        group="Judging",
        title="Evaluate",
        words="Honest figures with intervals, and the confusion matrix.",
        azure="Evaluate Model",
        does="flows.components.judge:evaluate",
        inputs=(
            Input("predictions", "Predictions", "what was said of unseen images"),
            Input(
                "findings", "Findings", "what is doubtful about the images, which figures are held against"
            ),
        ),
        output="Evaluation",
        settings=EvaluationSettings,
        elsewhere=_AT_TRAIN,
        stages=("evaluate", "clinical", "describe", "check-robustness"),
        agree={"Catalogue": ("predictions", "findings")},
    ),
    Component(
        name="compare",
        group="Judging",
        title="Compare",
        words="Two models on the same images, which neither saw: both confusion matrices and paired tests.",
        azure="Evaluate Model with two inputs",
        does="flows.components.judge:compare",
        inputs=(
            Input("first", "Predictions", "of the one model"),
            Input("second", "Predictions", "of the other"),
        ),
        output="Comparison",
        settings=EvaluationSettings,
        elsewhere=_AT_TRAIN,
        stages=("compare",),
        agree={"Catalogue": ("first", "second")},
    ),
    Component(
        name="gate",
        group="Judging",
        title="Gate",
        words="Says whether a model is good enough, and better than the one that is served.",
        does="flows.components.judge:gate",
        inputs=(Input("evaluation", "Evaluation", "the figures"),),
        output="Decision",
        settings=GateSettings,
        stages=("rejudge", "decide"),
    ),
    Component(
        name="registered_model",
        group="Judging",
        title="Registered model",
        words="A model that is in the registry.",
        azure="a trained model",
        does="flows.components.judge:registered_model",
        output="Version",
        settings=ModelChoice,
        names_model=True,
    ),
    Component(
        name="compare_registered",
        group="Judging",
        title="Compare registered models",
        words="Two versions of the registry on images that neither saw.",
        does="flows.components.judge:compare_registered",
        inputs=(
            Input("folds", "Folds", "the images to compare them on"),
            Input("first", "Version", "the one"),
            Input("second", "Version", "the other"),
        ),
        output="Comparison",
        settings=EvaluationSettings,
        elsewhere=_AT_TRAIN,
        stages=("compare",),
    ),
)

_RELEASE: Final = (
    Component(
        name="register",
        group="Release",
        title="Register",
        words="Puts the model into the registry under a new version; nothing is served by that.",
        azure="Register model",
        does="flows.components.release:register",
        inputs=(Input("evaluation", "Evaluation", "the figures of the model"),),
        output="Version",
        stages=("publish",),
    ),
    Component(
        name="promote",
        group="Release",
        title="Promote",
        words="Serves the version from now on if the gate let it pass.",
        azure="Deploy",
        does="flows.components.release:promote",
        inputs=(
            Input("version", "Version", "the version"),
            Input("decision", "Decision", "what the gate said of it"),
            Input("report", "Report", "the page, which stands beside the version"),
        ),
        output="Promotion",
        stages=("promote",),
        agree={"Evaluation": ("version", "decision", "report")},
        once_a_model=True,
    ),
    Component(
        name="report",
        group="Release",
        title="Report",
        words="One page for people: data, figures, decision, errors as pictures.",
        does="flows.components.release:report",
        inputs=(
            Input("evaluation", "Evaluation", "the figures"),
            Input("decision", "Decision", "what the gate said"),
            Input("version", "Version", "the registered version"),
        ),
        output="Report",
        stages=("report",),
        agree={"Evaluation": ("evaluation", "decision", "version")},
    ),
    Component(
        name="notify",
        group="Release",
        title="Notify",
        words="Tells people what came of it, by the channels of the deployment.",
        does="flows.components.release:notify",
        inputs=(
            Input("promotion", "Promotion", "which version is served"),
            Input("report", "Report", "the page"),
        ),
        stages=("notify",),
        agree={"Evaluation": ("promotion", "report")},
    ),
    Component(
        name="track",
        group="Release",
        title="Track",
        words="Shows the version in MLflow.",
        does="flows.components.release:track",
        inputs=(
            Input("promotion", "Promotion", "which version is served"),
            Input("report", "Report", "the page"),
        ),
        settings=TrackingSettings,
        elsewhere={"enabled": "leave it out: a track node tracks"},
        stages=("track",),
        agree={"Evaluation": ("promotion", "report")},
    ),
    Component(
        name="score_store",
        group="Use",
        title="Score a store",
        words="What a model says of every image of a store: for use, no evidence of how good it is.",
        azure="Batch inference pipeline",
        does="flows.components.release:score_store",
        inputs=(Input("version", "Version", "the model"),),
        output="Scores",
        settings=ScoreStore,
        stages=("score",),
    ),
    Component(
        name="ask_people",
        group="People",
        title="Ask people",
        words="Brings in what people answered in Label Studio, and hands out what they should look at next.",
        azure="Data Labeling",
        does="flows.components.release:ask_people",
        inputs=(Input("images", "Images", "the images to label"),),
        output="Labels",
        settings=LabellingSettings,
        stages=("begin-labelling", "pull-labels", "choose-tasks", "push-tasks", "label-status"),
    ),
)

COMPONENTS: Final[Components] = {
    component.ref: component for component in (*_DATA, *_TRAINING, *_JUDGING, *_RELEASE)
}
"""By reference, in the order of the palette."""
