"""What the endpoint says of an image is what evaluation said of it."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support.services.live_endpoint import live

from deployments.endpoint.settings import ServeSettings
from tasks.models.bundle import Prediction, load_bundle


def test_every_real_image_gets_the_figures_of_the_bundle(
    settings: Callable[..., ServeSettings], bundles: list[Path], brain_mri: Path
) -> None:
    files = [
        path.read_bytes() for path in sorted(brain_mri.glob("*/*")) if path.is_file() and path.suffix != ".md"
    ]
    assert len(files) == 253
    expected = load_bundle(bundles[0]).predict_bytes(files)
    limit = 16
    with live(settings()) as found:
        for start in range(0, len(files), limit):
            some = files[start : start + limit]
            rows = [{"image": base64.b64encode(data).decode()} for data in some]
            answer = found.client.score({"Inputs": {"WebServiceInput0": rows}})
            for row, wanted in zip(
                answer.json["Results"]["WebServiceOutput0"], expected[start:], strict=False
            ):
                assert isinstance(wanted, Prediction)
                assert row["Scored Labels"] == wanted.label
                got = [row[f"Scored Probabilities_{name}"] for name in ("no", "yes")]
                assert np.abs(np.array(got) - list(wanted.probabilities.values())).max() <= 1e-6
