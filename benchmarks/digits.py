"""Does the same recipe work on pictures that are no brain slices, with ten classes?

    python benchmarks/digits.py [--preset fast] [--images 1797]

The pictures are scikit-learn's handwritten digits (1,797 scans of 8x8 grey cells, UCI Optical Recognition of
Handwritten Digits, shipped in the package), enlarged to 64 px PNG files. `lightbox retrain` runs on them as on any
folder, with `--symmetry none`, since a turned 6 is a 9, and `--no-near-copies`, since two hands' zeros fit one another
as well as two files of one picture do. The baseline is the support vector machine of scikit-learn's
own example on the raw cells, trained on the same folds: it never sees a copy of what it is tested on either.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.svm import SVC

SIDE_PX = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--images", type=int, default=1797, help="the first so many digits")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightbox-digits-") as temporary:
        folder = Path(temporary)
        cells = _write_pictures(folder / "digits", options.images)
        started = time.perf_counter()
        result = _retrain(folder, options.preset)
        seconds = time.perf_counter() - started
        predictions = pd.read_parquet(
            folder / "workspace" / "runs" / result["run"] / "predictions.parquet",
        )
        baseline = _baseline(predictions, cells)
    evaluation, data = result["evaluation"], result["dataset"]
    accuracy = evaluation["accuracy"]
    print(f"{data['images']} images, {data['exact_copies']} exact copies, {data['groups']} groups")
    print(
        f"lightbox, preset {options.preset}: accuracy {accuracy['value']:.4f} "
        f"({accuracy['lower']:.4f} to {accuracy['upper']:.4f}), "
        f"macro recall {evaluation['balanced_accuracy']['value']:.4f}, {seconds:.0f} s"
    )
    print(f"support vector machine on raw cells, same folds: accuracy {baseline:.4f}")
    print(f"ratio of error rates: {(1 - accuracy['value']) / (1 - baseline):.2f}")


def _write_pictures(folder: Path, n: int) -> dict[str, np.ndarray]:
    """Write a folder a class; answer the raw cells (64,) by the digest of the file."""
    digits = load_digits()
    cells = {}
    for number, (image, label) in enumerate(zip(digits.images[:n], digits.target[:n], strict=True)):
        pixels = np.clip(image * 16, 0, 255).astype(np.uint8)
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(path)
        cells[hashlib.sha256(path.read_bytes()).hexdigest()] = image.ravel()
    return cells


def _retrain(folder: Path, preset: str) -> dict:
    command = [
        *(
            str(Path(sys.executable).with_name("lightbox")),
            "retrain",
            "--quiet",
            "--symmetry",
            "none",
            "--no-near-copies",
        ),
        *("--images", str(folder / "digits"), "--workspace", str(folder / "workspace"), "--name", "digits"),
        *("--preset", preset, "--json", str(folder / "out.json")),
    ]
    subprocess.run(command, check=True)
    return json.loads((folder / "out.json").read_text())


def _baseline(predictions: pd.DataFrame, cells: dict[str, np.ndarray]) -> float:
    """Accuracy of the support vector machine over the same held-out images, fold by fold."""
    features = np.stack([cells[sha256] for sha256 in predictions["sha256"]])
    labels, folds = predictions["label"].to_numpy(), predictions["fold"].to_numpy()
    right = 0
    for fold in np.unique(folds):
        model = SVC(gamma=0.001).fit(features[folds != fold], labels[folds != fold])
        right += int((model.predict(features[folds == fold]) == labels[folds == fold]).sum())
    return right / len(labels)


if __name__ == "__main__":
    main()
