"""What the commands' options are called. Everything else about them is said by the forms that they set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from tasks.automl.settings import SearchSettings
from tasks.compute.settings import ComputeSettings
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.evaluation.settings import GateSettings
from tasks.options.fields import GENERAL
from tasks.options.marks import As, Options
from tasks.tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from tasks.automl.settings import SearchSpace
    from tasks.models.about import AboutDataSet


def _space(file: Path) -> "SearchSpace":
    from tasks.automl.space import read_space

    return read_space(file)


def _about(file: Path) -> "AboutDataSet":
    from tasks.models.about_file import read_about

    return read_about(file)


IMAGES = Options("Images", {"url": "images", "block": "images-block", "labels": ""})
WORKSPACE = Options("Workspace", {"url": "workspace", "block": "workspace-block"})
DATA_SET = Options("Data set", {"about": As("about", title="About the data set", file=_about)})
SEARCH = Options(
    "Search",
    {
        "mode": As("search", flag=("on", "off")),
        "objective": "",
        "space": As("space", title="Search space", file=_space),
    },
)

Images = Annotated[ImagesSource, IMAGES]
Workspace = Annotated[WorkspaceLocation, WORKSPACE]
About = Annotated[DataSet, DATA_SET]
Named = Annotated[
    DataSet,
    DATA_SET.but({"positive_class": None, "finding": None, "one_image_a_patient": None, "about": None}),
]
Checks = Annotated[
    CatalogueSettings,
    Options("Checks", {"n_folds": "folds", "decode": "", "copies": "", "copies.search": "near-copies"}),
]
Training = Annotated[TrainingSettings, Options("Training")]
Search = Annotated[SearchSettings, SEARCH]
Evaluation = Annotated[EvaluationSettings, Options("Evaluation")]
Gate = Annotated[GateSettings, Options("Gate", {"on": "gate-on"})]
Compute = Annotated[
    ComputeSettings,
    Options("Compute", {"driver.azure-vm": "azure", "driver.azure-vm.vm_name": "vm-name"}),
]
Tracking = Annotated[TrackingSettings, Options("Tracking", {"enabled": As("track"), "uri": "tracking-uri"})]

Force = Annotated[
    bool,
    Parameter(negative=(), group=GENERAL, help="Run every stage again, also where nothing changed."),
]
Quiet = Annotated[bool, Parameter(negative=(), group=GENERAL, help="No progress bars and no summary.")]
JsonFile = Annotated[
    Path | None,
    Parameter(
        name="--json",
        allow_leading_hyphen=True,
        group=GENERAL,
        help="Write the result as JSON to this file; - is standard output.",
    ),
]
BundleUri = Annotated[
    str, Parameter(help="Folder or URL of a model bundle, as `lightbox models list` shows it.")
]
