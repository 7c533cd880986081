"""The options of a search on the command line, shared by the commands that can search."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from tasks.automl.settings import SearchSettings

Metric = Literal["auc", "recall_at_specificity", "balanced_accuracy", "f_beta", "log_loss"]


@Parameter(name="*")
@dataclass(frozen=True)
class SearchOptions:
    """How the recipe is looked for."""

    minutes: Annotated[float, Parameter(help="Budget: the search and the training of what it chose.")] = 30.0
    max_trials: Annotated[int | None, Parameter(help="Most fine-tunings that are begun.")] = None
    max_concurrent_trials: Annotated[int, Parameter(help="Trainings at once.")] = 1
    sampling: Annotated[Literal["tpe", "random"], Parameter(help="How settings are proposed.")] = "tpe"
    metric: Annotated[Metric, Parameter(help="What is optimised.")] = "auc"
    specificity: Annotated[float, Parameter(help="Of recall_at_specificity.")] = 0.9
    beta: Annotated[float, Parameter(help="Of f_beta: above 1 recall counts more.")] = 2.0
    space: Annotated[Path | None, Parameter(help="YAML file with what may be tried; docs/search.md.")] = None
    runner: Annotated[Literal["here", "ray"], Parameter(help="Where trainings run.")] = "here"
    ray_address: Annotated[
        str | None, Parameter(help="auto, HOST:PORT or ray://HOST:PORT. Default: one is started here.")
    ] = None
    cpus_per_trial: Annotated[float, Parameter(help="Processors asked of Ray for a training.")] = 1
    gpus_per_trial: Annotated[float, Parameter(help="GPUs asked of Ray for a training.")] = 0

    def settings(self, mode: Literal["by_preset", "on", "off"]) -> "SearchSettings":
        """As the run form has them.

        Raises: ConfigError when the search space cannot be read; ValidationError for a value out of bounds.
        """
        from tasks.automl.objective import Objective
        from tasks.automl.settings import SearchSettings, SearchSpace
        from tasks.automl.space import read_space

        return SearchSettings(
            mode=mode,
            minutes=self.minutes,
            max_trials=self.max_trials,
            max_concurrent_trials=self.max_concurrent_trials,
            sampling=self.sampling,
            objective=Objective(metric=self.metric, specificity=self.specificity, beta=self.beta),
            space=SearchSpace() if self.space is None else read_space(self.space),
            runner=self.runner,
            ray_address=self.ray_address,
            cpus_per_trial=self.cpus_per_trial,
            gpus_per_trial=self.gpus_per_trial,
        )
