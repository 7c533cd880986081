"""What Prometheus is told. With several workers the figures are summed over all of them."""

import os
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH: Final = (1, 2, 4, 8, 16)


class Measures:
    """The endpoint's figures. One object a process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        self._own = own
        prefix = "lightbox_endpoint"
        self.requests = Counter(f"{prefix}_requests", "Answered requests.", ("route", "status"), registry=own)
        self.seconds = Histogram(
            f"{prefix}_request_seconds", "From request to answer.", ("route",), registry=own, buckets=_SECONDS
        )
        self.images = Counter(
            f"{prefix}_images", "Judged images, by the label given.", ("deployment", "label"), registry=own
        )
        self.rejected = Counter(
            f"{prefix}_rejected", "Inputs not judged, by reason.", ("reason",), registry=own
        )
        self.clients = Counter(
            f"{prefix}_client_requests",
            "Requests with a right key, by whose it was.",
            ("client",),
            registry=own,
        )
        self.refused_keys = Counter(f"{prefix}_refused_keys", "Requests without a right key.", registry=own)
        self.batch = Histogram(
            f"{prefix}_batch_images", "Images given to the model at once.", registry=own, buckets=_BATCH
        )
        self.queue = Gauge(
            f"{prefix}_queue_images", "Images waiting or at work.", registry=own, multiprocess_mode="livesum"
        )
        self.model = Gauge(
            f"{prefix}_model_info",
            "1 for the version that each deployment serves.",
            ("deployment", "version"),
            registry=own,
            multiprocess_mode="livemax",
        )
        self.swaps = Counter(f"{prefix}_swaps", "Versions taken into service.", ("deployment",), registry=own)
        self.refused = Counter(
            f"{prefix}_refused_versions",
            "Versions that did not pass verification.",
            ("deployment",),
            registry=own,
        )
        self.workspace = Gauge(
            f"{prefix}_workspace_up",
            "Whether the workspace answered when last asked.",
            registry=own,
            multiprocess_mode="livemin",
        )
        self.log_rows = Counter(
            f"{prefix}_log_rows",
            "Rows of the prediction log, by what became of them.",
            ("outcome",),
            registry=own,
        )

    def serves(self, deployment: str, version: str, *, instead_of: str | None = None) -> None:
        """Note which version a deployment serves now."""
        if instead_of is not None and instead_of != version:
            self.model.labels(deployment, instead_of).set(0)
        self.model.labels(deployment, version).set(1)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        if MULTIPROCESS_FOLDER not in os.environ:
            return generate_latest(self._own)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def forget_process(pid: int) -> None:
    """Drop a dead worker's gauges."""
    if MULTIPROCESS_FOLDER in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
