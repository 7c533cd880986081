"""How many labels does assistance save?

    python benchmarks/labelling.py [--images ../shared/datasets/brain_mri] [--seeds 5] [--plot labelling.png]

Replays a labelled set: images are asked for one batch after another, in the order that the labelling flow chooses
(diverse until there are 3 labels a class, then uncertain and diverse, trained again after each batch), or in random
order. After each batch the same model, the flow's own, is trained on the labels so far and judged by its AUC on images
that neither order may ask about and that are no copies of those: three folds of groups of copies, each held out once,
for each seed. Baseline: random order, same model, same folds. Printed: labels needed to reach 95 % of the AUC that all
labels give (reached, and held at the next batch), and how many of the unasked images the machine would have suggested a
label for at 95 % precision, and how many of these rightly.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tasks.copies.duplicates import dhash, group_by_pairs, near_pairs_by_hash
from tasks.data.grouped_splits import grouped_splits
from tasks.images.decode import decode
from tasks.images.settings import DecodeLimits
from tasks.labelling.assistance import Assistant, train_assistant
from tasks.labelling.choice import teaching_order, uncertainty
from tasks.stores.workspace import Workspace
from tasks.training.embeddings import WholePictures, embed

CLASSES = ("no", "yes")
FOLDS = 3
BATCH = 5
SHARE = 0.95


@dataclass(frozen=True)
class Data:
    """Features (n, d), labels as class indices (n,), groups of copies (n,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """After so many labels: AUC on what is held out, and suggestions for what was not asked."""

    labels: int
    auc: float
    suggested: int
    right: int
    unasked: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(__file__).parents[2] / "shared" / "datasets" / "brain_mri"
    parser.add_argument("--images", type=Path, default=default, help="a folder a class: no, yes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="file for the curves")
    options = parser.parse_args()
    data = _data(options.images)
    print(
        f"{len(data.labels)} different images, {len(np.unique(data.groups))} groups, "
        f"{FOLDS} folds, {options.seeds} seeds, batches of {BATCH}"
    )
    curves: dict[str, list[list[list[Step]]]] = {"assisted": [], "random": []}
    full: list[float] = []
    for seed in range(options.seeds):
        splits = grouped_splits(data.labels, data.groups, FOLDS, seed)
        full.append(float(np.mean([_auc(_model(data, pool), data, test) for pool, test in splits])))
        for name, choose in (("assisted", _assisted), ("random", _random(seed))):
            curves[name].append([_replay(data, pool, test, choose) for pool, test in splits])
    print(f"AUC with all labels: {np.mean(full):.3f} (seeds {min(full):.3f} to {max(full):.3f})")
    needed = {
        name: [_needed(runs, SHARE * top) for runs, top in zip(curves[name], full, strict=True)]
        for name in curves
    }
    for name, counts in needed.items():
        print(f"{name}: labels to {SHARE:.0%} of that AUC, by seed: {counts}, mean {np.mean(counts):.1f}")
    ratios = [a / b for a, b in zip(needed["assisted"], needed["random"], strict=True)]
    print(
        f"assisted / random: {np.mean(needed['assisted']) / np.mean(needed['random']):.2f} "
        f"(seeds {min(ratios):.2f} to {max(ratios):.2f})"
    )
    for labels in (20, 30, 50, 70, 100, 130):
        print(f"at {labels} labels: " + "; ".join(_told(name, curves[name], labels) for name in curves))
    if options.plot:
        _plot(curves, float(np.mean(full)), options.plot)


def _data(folder: Path) -> Data:
    """Each content once, with its features."""
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*/*")):
        files.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    paths = {sha256: str(path) for sha256, path in files.items()}
    pictures = WholePictures(paths, lambda path: Path(path).read_bytes(), DecodeLimits())
    with tempfile.TemporaryDirectory(prefix="lightbox-labelling-") as temporary:
        found = embed(Workspace(temporary), tuple(files), pictures)
        features = np.asarray(found.values[np.arange(len(files))], dtype=np.float32)
    hashes = np.stack([dhash(decode(path.read_bytes(), DecodeLimits()).pixels) for path in files.values()])
    labels = np.array([CLASSES.index(path.parent.name) for path in files.values()], dtype=np.int64)
    return Data(features, labels, group_by_pairs(len(files), near_pairs_by_hash(hashes)))


Chooser = Callable[[Data, NDArray[np.int64], Assistant | None], NDArray[np.int64]]
"""From what is not yet asked, the order in which it should be."""


def _assisted(data: Data, left: NDArray[np.int64], model: Assistant | None) -> NDArray[np.int64]:
    features = data.features[left]
    doubt = None if model is None else uncertainty(model.probabilities(features))
    return left[teaching_order(features, doubt, BATCH, BATCH)]


def _random(seed: int) -> Chooser:
    rng = np.random.default_rng(seed)

    def choose(_: Data, left: NDArray[np.int64], __: Assistant | None) -> NDArray[np.int64]:
        return rng.permutation(left)

    return choose


def _replay(data: Data, pool: NDArray[np.int64], test: NDArray[np.int64], choose: Chooser) -> list[Step]:
    asked = np.empty(0, dtype=np.int64)
    model: Assistant | None = None
    steps = []
    while len(asked) < len(pool):
        left = np.setdiff1d(pool, asked)
        asked = np.concatenate([asked, choose(data, left, model)[:BATCH]])
        model = _model(data, asked)
        steps.append(_step(data, model, asked, np.setdiff1d(pool, asked), test))
    return steps


def _model(data: Data, rows: NDArray[np.int64]) -> Assistant | None:
    labels = [CLASSES[label] for label in data.labels[rows]]
    trained = train_assistant(
        data.features[rows], labels, data.groups[rows], CLASSES, precision=0.95, made=""
    )
    return trained if isinstance(trained, Assistant) else None


def _auc(model: Assistant | None, data: Data, rows: NDArray[np.int64]) -> float:
    """0.5 while there is no model."""
    if model is None:
        return 0.5
    return float(roc_auc_score(data.labels[rows], model.probabilities(data.features[rows])[:, 1]))


def _step(
    data: Data,
    model: Assistant | None,
    asked: NDArray[np.int64],
    left: NDArray[np.int64],
    test: NDArray[np.int64],
) -> Step:
    suggested = right = 0
    if model is not None and model.figures.threshold is not None and len(left):
        found = model.probabilities(data.features[left])
        sure = found.max(axis=1) >= model.figures.threshold
        suggested = int(sure.sum())
        right = int((found.argmax(axis=1) == data.labels[left])[sure].sum())
    return Step(len(asked), _auc(model, data, test), suggested, right, len(left))


def _mean_auc(runs: Sequence[Sequence[Step]]) -> list[tuple[int, float]]:
    """Mean over folds after each number of labels that all folds have."""
    return [
        (steps[0].labels, float(np.mean([step.auc for step in steps])))
        for steps in zip(*runs, strict=False)
        if len({step.labels for step in steps}) == 1
    ]


def _needed(runs: Sequence[Sequence[Step]], target: float) -> int:
    curve = _mean_auc(runs)
    for (labels, auc), (_, after) in zip(curve, [*curve[1:], curve[-1]], strict=True):
        if auc >= target and after >= target:
            return labels
    return curve[-1][0]


def _told(name: str, seeds: Sequence[Sequence[Sequence[Step]]], labels: int) -> str:
    steps = [step for runs in seeds for run in runs for step in run if step.labels == labels]
    suggested, right = sum(step.suggested for step in steps), sum(step.right for step in steps)
    share = suggested / max(1, sum(step.unasked for step in steps))
    correct = f"{right / suggested:.1%} of them right" if suggested else "none to judge"
    return (
        f"{name} AUC {np.mean([step.auc for step in steps]):.3f}, suggests {share:.0%} of the rest, {correct}"
    )


def _plot(curves: dict[str, list[list[list[Step]]]], full: float, file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, seeds in curves.items():
        lines = [_mean_auc(runs) for runs in seeds]
        points = list(zip(*lines, strict=False))
        axes.plot(
            [point[0][0] for point in points],
            [np.mean([one[1] for one in point]) for point in points],
            label=name,
        )
    axes.axhline(
        SHARE * full, color="grey", linewidth=1, linestyle="--", label=f"{SHARE:.0%} of all labels' AUC"
    )
    axes.set(xlabel="labels asked for", ylabel="AUC on held-out images")
    axes.legend()
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
