"""A row of the prediction log."""

import time

from deployments.endpoint.prediction_log import LogRow


def row(size: int = 0) -> LogRow:
    """One judged image of so many bytes."""
    return LogRow(
        time=time.time(), request_id="r", sha256="0" * 64, deployment="champion", version="v1", mirrored=False,
        label="yes", probabilities={"no": 0.25, "yes": 0.75}, rejected=None, seconds=0.01, image=b"x" * size,
    )  # fmt: skip
