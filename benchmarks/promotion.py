"""Ten years of retraining twice a year: how often is a model promoted that is no better, how soon one that is?

    python benchmarks/promotion.py [--histories 200] [--images 250] [--seed 0]

Simulated scores, judged by the rule in `tasks/evaluation/challenge.py`. A data set grows by a tenth each half-year, a
model is trained on it each time, and the rule lets it replace the champion or not. An image is hard or easy for all
networks alike; each network adds noise of its own (standard deviation 0.3, about what five data sets of the demo
showed), and each image is judged by one network a side. Histories are played with models that are equally good, and
with models that improve by 0.01 or 0.02 standard deviations each half-year. The baseline is the same comparison at the
level of a single one, 2.5 %. Then a challenger that is sharper but blind to 11 % of positives meets a champion of AUC
0.92; the baseline has no guard on specificity. Intervals are the normal ones (DeLong's for AUC) in place of the
bootstrap, which takes a thousand times as long; `--bootstrap N` sets both side by side on N pairs.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from tasks.evaluation.challenge import champion_checks
from tasks.evaluation.comparison import Comparison, SideFigures, compare
from tasks.evaluation.delong import _placements
from tasks.evaluation.intervals import Estimate, Z
from tasks.evaluation.looks import Looks
from tasks.evaluation.settings import GateSettings

HALF_YEARS = 20
GROWTH = 1.1
POSITIVES = 0.61
NOISE = 0.3
SINGLE = 0.025
RECALL_TARGET = 0.95

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """One data set at its largest, the images of each half-year, and the scores (half-years, n) of each model."""

    labels: Ints
    folds: Ints
    sizes: list[int]
    scores: Floats

    def compared(self, champion: int, challenger: int, level: float) -> Comparison:
        """On the images that there are when the challenger is made."""
        n = self.sizes[challenger]
        labels, folds = self.labels[:n], self.folds[:n]
        return compared(labels, folds, self.scores[champion, :n], self.scores[challenger, :n], level)


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=200)
    parser.add_argument("--images", type=int, default=250, help="in the first half-year")
    parser.add_argument("--bootstrap", type=int, default=0, help="pairs that are resampled too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    settings = GateSettings()
    for _ in range(options.bootstrap):
        one = history(rng, options.images, 0.02)
        pair = (one.labels[:600], one.folds[:600], one.scores[0, :600], one.scores[9, :600], 0.005)
        floors = [made(*pair).auc_floor for made in (compared, resampled)]
        print(f"floor of a difference in AUC at 0.5 %: normal {floors[0]:.4f}, resampled {floors[1]:.4f}")
    for better in (0.0, 0.01, 0.02):
        played = [history(rng, options.images, better) for _ in range(options.histories)]
        for name, spends in (("one comparison's level", False), ("level spent over looks", True)):
            ends = [promotions(one, settings, spends=spends) for one in played]
            some = np.mean([len(years) > 0 for years in ends])
            behind = np.mean([half_years_behind(years) for years in ends])
            print(
                f"improving by {better:g}, {name}: some promotion in {some:.3f} of {options.histories} histories, "
                f"served model {behind:.2f} half-years behind",
                flush=True,
            )
    for n in (400, 800, 2000):
        met = [blind(rng, n) for _ in range(options.histories)]
        unguarded = settings.model_copy(update={"max_specificity_loss": 1.0})
        promoted, without = (np.mean([passes(one, rule) for one in met]) for rule in (settings, unguarded))
        loss = np.mean([one.specificity_difference.value or 0.0 for one in met])
        print(
            f"blind to 11 % of positives, {n} images: specificity {loss:+.3f}, promoted {promoted:.3f}, without the "
            f"guard {without:.3f}",
            flush=True,
        )


def history(rng: np.random.Generator, images: int, better: float) -> History:
    """Draw a data set and its models."""
    sizes = [round(images * GROWTH**number) for number in range(HALF_YEARS + 1)]
    labels = (rng.random(sizes[-1]) < POSITIVES).astype(np.int64)
    hard = rng.normal(size=labels.size)
    skill = 2.3 + better * np.arange(HALF_YEARS + 1)
    noise = rng.normal(scale=NOISE, size=(HALF_YEARS + 1, labels.size))
    folds = rng.integers(0, 5, labels.size)
    return History(labels, folds, sizes, skill[:, None] * labels + hard + noise)


def promotions(one: History, settings: GateSettings, *, spends: bool) -> list[int]:
    """The half-years whose model was promoted; the first model is served from the beginning."""
    champion, done = 0, []
    for half_year in range(1, HALF_YEARS + 1):
        level = Looks(models=half_year).level(settings.false_promotions) if spends else SINGLE
        if passes(one.compared(champion, half_year, level), settings):
            champion = half_year
            done.append(half_year)
    return done


def half_years_behind(promoted: list[int]) -> float:
    """How much older than the newest model what is served is, on average."""
    served = [max([0, *(year for year in promoted if year <= now)]) for now in range(1, HALF_YEARS + 1)]
    return float(np.mean(np.arange(1, HALF_YEARS + 1) - served))


def blind(rng: np.random.Generator, n: int) -> Comparison:
    """A sharper challenger that sees nothing in 11 % of positives."""
    labels = (rng.random(n) < POSITIVES).astype(np.int64)
    hard, folds = rng.normal(size=n), rng.integers(0, 5, n)
    seen = labels * (rng.random(n) > 0.11)
    champion = 2.07 * labels + hard + rng.normal(scale=NOISE, size=n)
    return compared(
        labels, folds, champion, 3.4 * seen + hard + rng.normal(scale=NOISE, size=n), Looks().level(0.05)
    )


def compared(labels: Ints, folds: Ints, champion: Floats, challenger: Floats, level: float) -> Comparison:
    """By the normal law."""
    aucs, called, placed = [], [], []
    positive = labels == 1
    for scores in (champion, challenger):
        guess = operated(labels, folds, scores)
        placements = _placements(positive, scores)
        placed.append(placements)
        aucs.append(float(placements[0].mean()))
        called.append(guess)
    spread = np.sqrt(
        sum(np.var(after - before, ddof=1) / before.size for before, after in zip(*placed, strict=True))
    )
    auc = aucs[1] - aucs[0]
    sides = [
        SideFigures(
            auc=aucs[k],
            recall=float(called[k][positive].mean()),
            specificity=float(1 - called[k][~positive].mean()),
            errors=int((called[k] != labels).sum()),
        )
        for k in range(2)
    ]
    turned = called[1] - called[0]
    return Comparison(
        champion_version="v1",
        n=labels.size,
        n_groups=labels.size,
        champion=sides[0],
        challenger=sides[1],
        auc_difference=_normal(auc, spread, labels.size),
        recall_difference=_mean(turned[positive]),
        specificity_difference=_mean(-turned[~positive]),
        only_champion_right=0,
        only_challenger_right=0,
        auc_p_value=None,
        auc_floor=auc + float(norm.ppf(level)) * float(spread),
        floor_level=level,
        p_value=1.0,
    )


def operated(labels: Ints, folds: Ints, scores: Floats) -> Ints:
    """What is called positive (n,), at thresholds that the other folds choose for the recall target."""
    called = np.zeros(labels.size, dtype=np.int64)
    for fold in np.unique(folds):
        own = folds == fold
        positives = scores[~own & (labels == 1)]
        called[own] = scores[own] >= np.quantile(positives, 1 - RECALL_TARGET, method="weibull")
    return called


def resampled(labels: Ints, folds: Ints, champion: Floats, challenger: Floats, level: float) -> Comparison:
    """The project's own comparison of the same two models."""
    sides = []
    for scores in (champion, challenger):
        chance = 1 / (1 + np.exp(-scores))
        sides.append((np.stack([1 - chance, chance], axis=1), operated(labels, folds, scores)))
    return compare(
        labels,
        *sides,
        np.arange(labels.size),
        classes=["no", "yes"],
        positive_class="yes",
        champion_version="v1",
        level=level,
    )


def _mean(values: Ints) -> Estimate:
    return _normal(float(values.mean()), float(values.std(ddof=1)) / np.sqrt(values.size), values.size)


def _normal(value: float, spread: float, n: int) -> Estimate:
    half = Z * float(spread)
    return Estimate(value=value, lower=value - half, upper=value + half, n=n)


def passes(comparison: Comparison, settings: GateSettings) -> bool:
    """Whether the challenger would be promoted."""
    return all(check.passed for check in champion_checks(comparison, settings, None))


if __name__ == "__main__":
    main()
