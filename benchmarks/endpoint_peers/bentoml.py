"""The same bundle behind BentoML; see benchmarks/endpoint.py."""

import base64
import os
import sys
from pathlib import Path
from typing import Any

sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

import bentoml  # noqa: E402

from tasks.models.bundle import load_bundle  # noqa: E402


@bentoml.service(workers=int(os.environ.get("LIGHTBOX_WIDTH", "1")))
class Score:
    """One worker: decode, judge, answer."""

    def __init__(self) -> None:
        self.bundle = load_bundle(os.environ["LIGHTBOX_BUNDLE"], threads=1)

    @bentoml.api(route="/score")  # type: ignore[untyped-decorator]
    def score(self, Inputs: dict[str, Any], GlobalParameters: dict[str, Any]) -> dict[str, Any]:
        """The Designer endpoint's format."""
        del GlobalParameters
        data = base64.b64decode(Inputs["WebServiceInput0"][0]["image"], validate=True)
        said = self.bundle.decide(self.bundle.predict_pixels(self.bundle.pixels(data)[None]))[0]
        scores = {f"Scored Probabilities_{name}": value for name, value in said.probabilities.items()}
        return {"Results": {"WebServiceOutput0": [{**scores, "Scored Labels": said.label}]}}


if __name__ == "__main__":
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "endpoint_peers.bentoml:Score"]
    os.chdir(Path(__file__).parent.parent)
    os.execv(command[0], [*command, "--host", "127.0.0.1", "--port", os.environ["PORT"]])  # noqa: S606
