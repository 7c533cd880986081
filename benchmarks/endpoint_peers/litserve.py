"""The same bundle behind LitServe; see benchmarks/endpoint.py."""

import base64
import os
import sys
from pathlib import Path
from typing import Any

sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

import litserve as ls  # noqa: E402

from tasks.models.bundle import Prediction, load_bundle  # noqa: E402


class Api(ls.LitAPI):  # type: ignore[misc]
    """One worker: decode, judge, answer."""

    def setup(self, device: str) -> None:
        """Load the bundle."""
        del device
        self.bundle = load_bundle(os.environ["LIGHTBOX_BUNDLE"], threads=1)

    def decode_request(self, request: dict[str, Any]) -> bytes:
        """The bytes of the image."""
        return base64.b64decode(request["Inputs"]["WebServiceInput0"][0]["image"], validate=True)

    def predict(self, data: bytes) -> Prediction:
        """What the model says."""
        return self.bundle.decide(self.bundle.predict_pixels(self.bundle.pixels(data)[None]))[0]

    def encode_response(self, output: Prediction) -> dict[str, Any]:
        """The Designer endpoint's answer."""
        scores = {f"Scored Probabilities_{name}": value for name, value in output.probabilities.items()}
        return {"Results": {"WebServiceOutput0": [{**scores, "Scored Labels": output.label}]}}


if __name__ == "__main__":
    width = int(os.environ["LIGHTBOX_WIDTH"])
    server = ls.LitServer(Api(api_path="/score"), accelerator="cpu", workers_per_device=width)
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning"
    )
