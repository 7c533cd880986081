"""How good is what a search has found after so many minutes: our funnel, plain Optuna, and random search?

    python benchmarks/search.py --images FOLDER --positive-class yes [--minutes 8] [--seeds 0]

All three draw from the same space, on this machine, in one run, one after another, each in a workspace and a cache of
its own. Plain Optuna (its own default sampler, TPE) and random search fine-tune every proposal to its end, over all
backbones and preprocessings; the funnel probes, halves, and fine-tunes on. A recipe's trainings are the same for all.

The figure is honest: after each step, each fold's choice at that moment is judged on the fold itself by the networks
that chose it and never saw the fold (each was trained on the other folds but one, so the figures are lower than those
of `lightbox retrain`, by fewer images and by single trainings).
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from tasks.automl.leaderboard import pooled
from tasks.catalogue import CatalogueSettings, catalogue
from tasks.errors import TrainingError
from tasks.fine_tune import TrainingOptions
from tasks.ingest import ImagesSource, ingest
from tasks.run import open_run
from tasks.search import Funnel
from tasks.search_settings import SearchSettings
from tasks.training.recipes import PRESETS, FineTune

Course = list[tuple[float, float]]
"""Minutes, and the honest AUC of what was chosen then."""


class Watched(Funnel):
    """The funnel, and after each step what its choices are worth."""

    course: Course

    def after_step(self, what: str) -> None:
        """Note the honest figure of the choices at this moment."""
        super().after_step(what)
        try:
            choices = self.choices()
        except TrainingError:
            return
        labels, scores, positive = [], [], self.trainings.positive
        for fold, choice in choices.items():
            trial, units = self.trials[self.tried(choice)], set(self.trainings.units([fold]))
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
            search.open(self.bases)


def main() -> None:
    """Measure and print."""
    options = _options()
    contestants: dict[str, tuple[type[Watched], dict[str, Any]]] = {
        "funnel": (Watched, {}),
        "optuna": (Plain, {"halving": 1, "space": {"kinds": ["fine_tune"]}}),
        "random": (Plain, {"halving": 1, "sampling": "random", "space": {"kinds": ["fine_tune"]}}),
    }
    reached: dict[str, list[float]] = {}
    for seed in options.seeds:
        for name, (kind, changes) in contestants.items():
            course, n = _run(options, kind, changes, seed)
            told = ", ".join(f"{minutes:.1f} min {auc:.3f}" for minutes, auc in course)
            print(f"seed {seed}, {name}: {n} recipes; {told}", flush=True)
            reached.setdefault(name, []).append(course[-1][1] if course else float("nan"))
    print()
    for name, values in reached.items():
        print(
            f"{name:<8} AUC after {options.minutes:g} minutes {np.mean(values):.3f} (mean of {len(values)})"
        )
    ours = 1 - np.mean(reached["funnel"])
    for name in ("optuna", "random"):
        print(f"1 - AUC, {name} / funnel: {(1 - np.mean(reached[name])) / ours:.2f}")


def _options() -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder with a folder a class")
    parser.add_argument("--positive-class", required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    return parser.parse_args()


def _run(options: Any, kind: type[Watched], changes: dict[str, Any], seed: int) -> tuple[Course, int]:
    """One search; its course, and how many recipes it tried."""
    root = PRESETS["fast"]
    assert isinstance(root, FineTune)
    settings = SearchSettings.model_validate({"mode": "on", "minutes": options.minutes, **changes})
    with tempfile.TemporaryDirectory(prefix="lightbox-bench-") as folder:
        os.environ["LIGHTBOX_CACHE"] = f"{folder}/cache"
        run = open_run(str(Path(folder) / "workspace"), None, "bench")
        listing = ingest(run, ImagesSource(url=options.images)).listing
        found = catalogue(run, listing, CatalogueSettings(), options.positive_class)
        training = TrainingOptions(seed=seed, device="auto")
        search = kind(run, listing, found, root, settings, training, refit=False, report=lambda *_: None)
        search.course = []
        search.result()
        return search.course, len(search.trials)


if __name__ == "__main__":
    main()
