"""How good is what a search has found after so many minutes: our funnel, plain Optuna, and random search?

    python benchmarks/search.py --images FOLDER --positive-class yes [--minutes 8] [--seeds 0]

All three draw from the same space, on this machine, in one run, one after another, each in a workspace and a cache of
its own. Plain Optuna (its own default sampler, TPE) and random search fine-tune every proposal to its end, over all
backbones and preprocessings; the funnel probes, halves, and fine-tunes on. A recipe's trainings are the same for all.

The figure is honest: after each step, each fold's choice at that moment is judged on the fold itself by the networks
that chose it and never saw the fold (each was trained on the other folds but one, so the figures are lower than those
of `lightbox retrain`, by fewer images and by single trainings).

A fourth, `warm`, is the funnel where four images of five have been searched before: it begins with what that search
chose and with its features. What it saves is the ratio of the minutes to the figure that the cold funnel ends with.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from sklearn.metrics import roc_auc_score

from tasks.automl.funnel import Funnel
from tasks.automl.settings import SearchSettings
from tasks.automl.trials import pooled
from tasks.catalogue import build_catalogue
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.run import open_run
from tasks.errors import TrainingError
from tasks.ingest import ingest
from tasks.search import StageTrainer, remember, scope_of
from tasks.training.recipes import PRESETS, FineTune, TrainingOptions

Course = list[tuple[float, float]]
"""Minutes, and the honest AUC of what was chosen then."""


class Watched(Funnel):
    """The funnel, and after each step what its choices are worth."""

    course: Course
    probing_seconds: float = 0.0

    def after_step(self, what: str) -> None:
        """Note the honest figure of the choices at this moment."""
        super().after_step(what)
        if what == "probes":
            self.probing_seconds = self.budget.used_seconds
        try:
            choices = self.choices()
        except TrainingError:
            return
        labels, scores, positive = [], [], self.scope.positive
        for fold, choice in choices.items():
            trial, units = self.trials[self.tried(choice)], set(self.scope.units([fold]))
            furthest = max(epochs for epochs, answers in trial.answers.items() if units <= set(answers))
            truth, probabilities, _ = pooled([trial.answers[furthest][unit][fold] for unit in units])
            labels.append(truth)
            scores.append(probabilities[:, positive])
        auc = roc_auc_score(np.concatenate(labels) == positive, np.concatenate(scores))
        self.course.append((self.budget.used_seconds / 60, float(auc)))


class Plain(Watched):
    """Every proposal to its end, over all bases, without probes."""

    def _probe(self) -> None:
        for search in self.searches.values():
            search.open(self.scope.bases)


def main() -> None:
    """Measure and print."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    contestants: dict[str, tuple[type[Watched], dict[str, Any]]] = {
        "funnel": (Watched, {}),
        "warm": (Watched, {}),
        "optuna": (Plain, {"halving": 1, "space": {"kinds": ["fine_tune"]}}),
        "random": (Plain, {"halving": 1, "sampling": "random", "space": {"kinds": ["fine_tune"]}}),
    }
    reached: dict[str, list[float]] = {}
    savings: list[float] = []
    for seed in options.seeds:
        courses: dict[str, Course] = {}
        for name, (kind, changes) in contestants.items():
            done = _run(options, kind, changes, seed, before=name == "warm")
            courses[name] = done.course
            told = ", ".join(f"{minutes:.1f} min {auc:.3f}" for minutes, auc in done.course)
            probed = f", probed in {done.probing_seconds:.0f} s" if done.probing_seconds else ""
            print(f"seed {seed}, {name}: {len(done.trials)} recipes{probed}; {told}", flush=True)
            reached.setdefault(name, []).append(done.course[-1][1] if done.course else float("nan"))
        savings.append(_minutes_to(courses, "warm") / _minutes_to(courses, "funnel"))
    print()
    for name, values in reached.items():
        print(
            f"{name:<8} AUC after {options.minutes:g} minutes {np.mean(values):.3f} (mean of {len(values)})"
        )
    ours = 1 - np.mean(reached["funnel"])
    for name in ("optuna", "random"):
        print(f"1 - AUC, {name} / funnel: {(1 - np.mean(reached[name])) / ours:.2f}")
    print(f"minutes to the cold funnel's last figure, warm / cold: {np.mean(savings):.2f}")


def _minutes_to(courses: dict[str, Course], name: str) -> float:
    """When a contestant first had what the cold funnel ended with; nan where it never had."""
    aim = courses["funnel"][-1][1]
    return next((minutes for minutes, auc in courses[name] if auc >= aim), float("nan"))


def _options() -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder with a folder a class")
    parser.add_argument("--positive-class", required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    return parser.parse_args()


def _run(options: Any, kind: type[Watched], changes: dict[str, Any], seed: int, *, before: bool) -> Watched:
    """One search, after another one on fewer images where asked for."""
    with tempfile.TemporaryDirectory(prefix="lightbox-bench-") as folder:
        os.environ["LIGHTBOX_CACHE"] = f"{folder}/cache"
        workspace = str(Path(folder) / "workspace")
        if before:
            fewer = Path(folder) / "fewer"
            images = sorted(path for path in Path(options.images).rglob("*") if path.is_file())
            for place, path in enumerate(images):
                if place % 5:
                    target = fewer / path.relative_to(options.images)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            _search(options, kind, changes, seed, workspace, str(fewer))
        return _search(options, kind, changes, seed, workspace, options.images)


def _search(
    options: Any, kind: type[Watched], changes: dict[str, Any], seed: int, workspace: str, images: str
) -> Watched:
    root = PRESETS["fast"]
    assert isinstance(root, FineTune)
    settings = SearchSettings.model_validate({"mode": "on", "minutes": options.minutes, **changes})
    run = open_run(workspace, None, "bench")
    listing = ingest(run, ImagesSource(url=images)).listing
    catalogue = build_catalogue(run, listing, CatalogueSettings(), options.positive_class)
    training = TrainingOptions(seed=seed, device="auto")
    scope = scope_of(run, catalogue, root, settings, training, refit=False)
    search = kind(scope, StageTrainer(run, listing, catalogue, training, settings.max_concurrent_trials))
    search.course = []
    remember(run, search.result().tuned)
    return search


if __name__ == "__main__":
    main()
