"""What a data set of n images costs, from a few measured figures, and how far that model is from others.

    python benchmarks/scaling.py        the tables of docs/scaling.md; a second

Nothing is measured here. Each figure below stands, with the command that shows it, in benchmarks/README.md or
README.md; it was seen on 2 cores without a GPU. A rate is fitted to one figure; where another figure tells of the same
thing it is predicted, and the difference is printed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

BRAIN_IMAGES = 253
FOLDS = 5
SIDE_PX = 224
SHARD_IMAGES = 1024
"""Decoded images in one blob, as in tasks/images/image_cache.py."""
LIST_BLOBS = 5000
"""Blobs in one answer of a listing: learn.microsoft.com/rest/api/storageservices/list-blobs."""
NIGHT_SECONDS = 10 * 3600.0
IMAGES = (10_000, 100_000, 1_000_000, 100_000_000)


@dataclass(frozen=True)
class Preset:
    """What of a recipe decides its cost."""

    epochs: int
    runs: int
    views: int


FAST = Preset(epochs=4, runs=1, views=4)
STANDARD = Preset(epochs=6, runs=2, views=8)

# `lightbox retrain --preset fast` on brain_mri: 69 s in all
FAST_TOTAL, FAST_TRAINING, FAST_EVALUATION = 69.0, 42.0, 11.0
FIXED = FAST_TOTAL - FAST_TRAINING - FAST_EVALUATION
STANDARD_TOTALS = (179.0, 237.0)
"""Two seeds; other work was running beside the second."""
# digits.py, preset fast
DIGITS_IMAGES, DIGITS_TOTAL = 1797, 546.0
# endpoint.py: requests a second with the bundle of the preset standard, forty networks an image
REQUESTS, NETWORKS_AN_IMAGE = 6.7, FOLDS * STANDARD.views
NETWORKS_A_SECOND = REQUESTS * NETWORKS_AN_IMAGE
# train.py: images a second through a training of everything, EfficientNet-Lite0
FULL_IMAGES_A_SECOND = 21.4
# copies.py: 100,000 contents, then 1,000 more
COPIES_CONTENTS, COPIES_SECONDS, COPIES_GB = 100_000, 529.0, 2.2
MORE_CONTENTS, MORE_SECONDS = 1_000, 18.0
# memory.py --images 10000: MB at 10,000 and at 100,000 images; imports alone; seconds of the catalogue at 100,000
MEMORY_MB = {
    "ingest": (666.0, 826.0),
    "catalogue": (960.0, 1167.0),
    "prepare": (681.0, 821.0),
    "training input": (722.0, 1150.0),
    "score": (682.0, 720.0),
}
IMPORTS_MB = 621.0
CATALOGUE_SECONDS = 143.0
# datastore.py: first sync, and a second one that only lists
BLOBS, FIRST_SYNC, SECOND_SYNC = 10_000, 70.0, 2.9


def fetch_seconds(n: float) -> float:
    """List n blobs and get each once."""
    return n * FIRST_SYNC / BLOBS


def transactions(n: float) -> float:
    """Requests of a first run: listing, one get an image, and the shards of decoded images, written and read once."""
    return math.ceil(n / LIST_BLOBS) + n + 2 * math.ceil(n / SHARD_IMAGES)


def decoded_bytes(n: float) -> float:
    """The uint8 RGB cache."""
    return n * SIDE_PX * SIDE_PX * 3


def catalogue_seconds(n: float) -> float:
    """Inspection, groups and folds, without deep features and the search for near copies."""
    return n * CATALOGUE_SECONDS / 100_000


def feature_seconds(n: float) -> float:
    """One network an image, for the search for near copies."""
    return n / NETWORKS_A_SECOND


def copies_seconds(n: float, new: float | None = None) -> float:
    """The approximate search compares each of the new contents with about the root of n others."""
    return (
        (n if new is None else new)
        * math.sqrt(n)
        * COPIES_SECONDS
        / (COPIES_CONTENTS * math.sqrt(COPIES_CONTENTS))
    )


def copies_gigabytes(n: float) -> float:
    """Memory of that search."""
    return n * COPIES_GB / COPIES_CONTENTS


def training_seconds(n: float, preset: Preset) -> float:
    """All folds, one after the other; the early stages are frozen."""
    steps = preset.epochs * preset.runs / (FAST.epochs * FAST.runs)
    return FAST_TRAINING * steps * n / BRAIN_IMAGES


def full_training_seconds(n: float, epochs: int = 6) -> float:
    """Everything trained, all folds one after the other; each fold learns from the other folds' images."""
    return (FOLDS - 1) * n * epochs / FULL_IMAGES_A_SECOND


def evaluation_seconds(n: float, preset: Preset) -> float:
    """Each image by one member in each of the views, in float32 and in bfloat16."""
    return FAST_EVALUATION * preset.views / FAST.views * n / BRAIN_IMAGES


def retrain_seconds(n: float, preset: Preset) -> float:
    """The whole of a small run."""
    return FIXED + training_seconds(n, preset) + evaluation_seconds(n, preset)


def scoring_seconds(n: float) -> float:
    """A whole store by the bundle of the preset standard."""
    return n * NETWORKS_AN_IMAGE / NETWORKS_A_SECOND


def memory_megabytes(stage: str, n: float) -> float:
    """A line through the two measured points."""
    few, many = MEMORY_MB[stage]
    return few + (many - few) * (n - 10_000) / 90_000


def makespan_seconds(total: float, parts: int, machines: int) -> float:
    """How long equal parts of a job take when no machine can do less than a whole part."""
    return math.ceil(parts / machines) * total / parts


def largest(seconds: Callable[[float], float], limit: float = NIGHT_SECONDS) -> int:
    """The most images that are done within the limit."""
    low, high = 1.0, 1e12
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if seconds(middle) <= limit else (low, middle)
    return int(low)


def duration(seconds: float) -> str:
    """In words."""
    for unit, size, until in (("s", 1, 120), ("min", 60, 7_200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:,.0f} days"


def fit_table() -> list[str]:
    """Measured figures, and what the model says of them."""
    networks = BRAIN_IMAGES * FAST.views * 2
    more = copies_seconds(COPIES_CONTENTS, MORE_CONTENTS)
    rows = [
        ("whole run, fast, 253 images", FAST_TOTAL, retrain_seconds(BRAIN_IMAGES, FAST), "fitted"),
        (
            "whole run, standard, 253 images",
            STANDARD_TOTALS[0],
            retrain_seconds(BRAIN_IMAGES, STANDARD),
            "predicted",
        ),
        (
            "the same beside other work",
            STANDARD_TOTALS[1],
            retrain_seconds(BRAIN_IMAGES, STANDARD),
            "predicted",
        ),
        ("whole run, fast, 1,797 digits", DIGITS_TOTAL, retrain_seconds(DIGITS_IMAGES, FAST), "predicted"),
        (
            "evaluation, fast, by the endpoint's rate",
            FAST_EVALUATION,
            networks / NETWORKS_A_SECOND,
            "predicted",
        ),
        ("near copies among 100,000", COPIES_SECONDS, copies_seconds(COPIES_CONTENTS), "fitted"),
        ("near copies of 1,000 more", MORE_SECONDS, more, "predicted"),
        ("first sync of 10,000 blobs", FIRST_SYNC, fetch_seconds(BLOBS), "fitted"),
    ]
    lines = ["| what | measured | model | error | |", "|---|---|---|---|---|"]
    for name, measured, model, how in rows:
        lines.append(f"| {name} | {measured:.0f} s | {model:.0f} s | {model / measured - 1:+.0%} | {how} |")
    for stage in MEMORY_MB:
        at_none = memory_megabytes(stage, 0)
        lines.append(
            f"| memory of {stage} at no images, against imports alone | {IMPORTS_MB:.0f} MB | {at_none:.0f} MB "
            f"| {at_none / IMPORTS_MB - 1:+.0%} | predicted |"
        )
    return lines


def size_table() -> list[str]:
    """What n images cost on one machine of the measured kind."""
    rows: list[tuple[str, Callable[[float], str]]] = [
        ("fetch every image once", lambda n: duration(fetch_seconds(n))),
        ("requests to the store, first run", lambda n: f"{transactions(n):,.0f}"),
        ("decoded images", lambda n: f"{decoded_bytes(n) / 1e9:,.0f} GB"),
        ("catalogue", lambda n: duration(catalogue_seconds(n))),
        ("deep features", lambda n: duration(feature_seconds(n))),
        ("near copies", lambda n: duration(copies_seconds(n))),
        ("memory of that", lambda n: f"{copies_gigabytes(n):,.1f} GB"),
        ("memory of training input", lambda n: f"{memory_megabytes('training input', n) / 1e3:,.1f} GB"),
        ("train, preset fast, five folds", lambda n: duration(training_seconds(n, FAST))),
        ("train, preset standard", lambda n: duration(training_seconds(n, STANDARD))),
        ("train everything, six epochs", lambda n: duration(full_training_seconds(n))),
        ("score all, bundle of standard", lambda n: duration(scoring_seconds(n))),
    ]
    lines = [
        "| one machine, 2 cores | " + " | ".join(f"{n:,}" for n in IMAGES) + " |",
        "|---" * (len(IMAGES) + 1) + "|",
    ]
    lines += [f"| {name} | " + " | ".join(tell(n) for n in IMAGES) + " |" for name, tell in rows]
    return lines


def limit_table() -> list[str]:
    """Where one machine does not do in a night, and what more machines give."""
    jobs: list[tuple[str, Callable[[float], float], str]] = [
        ("train, preset fast", lambda n: training_seconds(n, FAST), "folds on machines"),
        ("train, preset standard", lambda n: training_seconds(n, STANDARD), "folds on machines"),
        ("train everything", full_training_seconds, "folds on machines"),
        ("score all", scoring_seconds, "shards"),
        ("near copies", copies_seconds, "one machine"),
    ]
    lines = [
        "| job | images in a night on one machine | divided into | five machines | twenty machines |",
        "|---|---|---|---|---|",
    ]
    for name, seconds, how in jobs:
        more = []
        for machines in (5, 20):
            if how == "one machine":
                more.append("the same")
                continue
            parts = FOLDS if how == "folds on machines" else 100 * machines
            more.append(f"{_rounded(largest(lambda n: makespan_seconds(seconds(n), parts, machines))):,}")  # noqa: B023
        lines.append(f"| {name} | {_rounded(largest(seconds)):,} | {how} | {more[0]} | {more[1]} |")
    return lines


def _rounded(n: int) -> int:
    """To two digits: the model is no better."""
    size = int(10.0 ** max(0, len(str(n)) - 2))
    return n // size * size


def main() -> None:
    """Print the tables."""
    for table in (fit_table(), size_table(), limit_table()):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main()
