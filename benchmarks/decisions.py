"""Does an operating point hold? Whole runs on demo data against fresh slices, and coverage of the intervals.

    python benchmarks/decisions.py coverage --repetitions 200
    python benchmarks/decisions.py demo --folder somewhere --seeds 0 101 102

`coverage` draws scores, folds and thresholds. `demo` trains on one set a seed, then judges 800 slices of another seed
of the generator, seen by no one, by the served model and by each member on its own scale.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tasks.models.manifest import BundleManifest

FRESH_SEED = 9001
FRESH_A_CLASS = 400
ROWS = ((155, 98), (60, 200), (155, 1500))


def coverage(repetitions: int, positives: int, negatives: int, seed: int = 0) -> dict[str, float]:
    """How often the interval of specificity holds the procedure's mean and the served rule's own specificity."""
    from scipy.special import logit
    from scipy.stats import norm

    from tasks.evaluation.metrics import evaluate
    from tasks.evaluation.operating_rule import JudgedImages
    from tasks.evaluation.out_of_fold import judge
    from tasks.evaluation.rechosen import rechosen_counts, with_choice
    from tasks.evaluation.settings import ThresholdRule

    rule, rng = ThresholdRule(insist_on_target=True), np.random.default_rng(seed)
    said, served = [], []
    labels = np.repeat(np.array([1, 0]), [positives, negatives])
    for repetition in range(repetitions):
        hard = rng.random(positives) < 0.1
        positive = np.where(hard, rng.normal(-1, 1.2, positives), rng.normal(3, 1.2, positives))
        score = np.r_[positive, rng.normal(-2.5, 1.5, negatives)]
        folds = np.r_[rng.permutation(positives) % 5, rng.permutation(negatives) % 5]
        logits = np.stack([-score / 2, score / 2], axis=1)
        images = JudgedImages(labels, logits, np.eye(5)[folds], np.arange(labels.size))
        none, every = np.zeros(labels.size, dtype=np.bool_), frozenset(range(5))
        judged = judge(images, folds, straddling=none, reported_folds=every, positive=1, rule=rule)
        figures = evaluate(
            labels,
            judged.probabilities,
            judged.predicted,
            images.groups,
            ["no", "yes"],
            positive_class="yes",
            protocol="cross_validation",
            resamples=2,
        )
        counts = rechosen_counts(judged, judged.reported, seed=repetition)
        found = with_choice(figures, counts, missed=0.05 * positives, between={}).specificity
        said.append((found.value, found.lower, found.upper))
        chosen = judged.served
        moved = float(chosen.offsets[1] - chosen.offsets[0])
        level = (float(logit(chosen.threshold or 0.5)) - moved) * chosen.temperature
        served.append(float(norm.cdf((level + 2.5) / 1.5)))
    value, lower, upper = np.array(said, dtype=np.float64).T
    mean, own = value.mean(), np.array(served)
    return {
        "mean": float(mean),
        "width": float((upper - lower).mean()),
        "covers procedure": float(((lower <= mean) & (mean <= upper)).mean()),
        "covers served": float(((lower <= own) & (own <= upper)).mean()),
    }


def demo(folder: Path, seeds: Sequence[int]) -> list[dict[str, object]]:
    """One whole run a seed, and what its served model and its members do on fresh slices."""
    from flows.config import DataSet, TrainingSettings, WorkspaceLocation
    from flows.retrain import retrain
    from tasks.data.settings import ImagesSource
    from tasks.demo.data_set import make_demo
    from tasks.models.bundle import load_bundle, probabilities

    fresh = make_demo(folder / "fresh", FRESH_SEED, n_no=700, n_yes=700)
    rows = []
    for seed in seeds:
        made = make_demo(folder / f"data-{seed}", seed)
        result = retrain(
            images=ImagesSource(url=str(made.images)),
            workspace=WorkspaceLocation(url=str(folder / "workspace")),
            dataset=DataSet(name=f"demo-{seed}", positive_class="yes"),
            training=TrainingSettings(preset="fast"),
        )
        bundle = load_bundle(result.bundle)
        facts = bundle.manifest
        pixels, labels = _fresh(fresh.images, bundle.pixels)
        each = np.stack([bundle.predict_pixels(pixels, member.index) for member in facts.members])

        def specificity(
            logits: NDArray[np.floating],
            facts: "BundleManifest" = facts,
            negative: NDArray[np.bool_] = labels == 0,
        ) -> float:
            chance = probabilities(logits, facts.temperature, facts.offsets)[:, 1]
            return float((chance[negative] < (facts.threshold or 0.0)).mean())

        served = specificity(bundle.predict_pixels(pixels))
        members = [
            specificity(own + np.array(member.offsets))
            for own, member in zip(each, facts.members, strict=True)
        ]
        said = result.evaluation.specificity
        inside = said.lower is not None and said.upper is not None and said.lower <= served <= said.upper
        rows.append(
            {
                "seed": seed,
                "verdict": result.decision.verdict,
                "reported": said.model_dump(include={"value", "lower", "upper"}),
                "served on fresh slices": served,
                "inside": inside,
                "members": members,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _fresh(
    images: Path, decode: Callable[[bytes], NDArray[np.uint8]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from tasks.images.reject_reasons import ImageRejected

    pixels, labels = [], []
    for label, name in enumerate(("no", "yes")):
        found = 0
        for path in sorted((images / name).iterdir()):
            try:
                one = decode(path.read_bytes())
            except ImageRejected:
                continue
            pixels.append(one)
            labels.append(label)
            found += 1
            if found == FRESH_A_CLASS:
                break
    return np.stack(pixels), np.array(labels)


def main() -> None:
    """Print one JSON line a row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    drawn = modes.add_parser("coverage")
    drawn.add_argument("--repetitions", type=int, default=200)
    runs = modes.add_parser("demo")
    runs.add_argument("--folder", type=Path, required=True)
    runs.add_argument("--seeds", type=int, nargs="+", default=[0, *range(101, 110)])
    asked = parser.parse_args()
    if asked.mode == "demo":
        demo(asked.folder, asked.seeds)
        return
    for positives, negatives in ROWS:
        found = coverage(asked.repetitions, positives, negatives)
        print(json.dumps({"positives": positives, "negatives": negatives, **found}), flush=True)


if __name__ == "__main__":
    main()
