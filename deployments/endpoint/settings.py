"""What the endpoint is told: where the model is, who may ask, how much it takes on."""

import ipaddress
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from tasks.images.settings import WORST_BYTES
from tasks.models.manifest import ModelName
from tasks.record import Frozen
from tasks.stores.urls import StoreUrl

OWN_MIB: Final = 768
"""Memory of a worker beside bodies and decoding: the program, two versions of a model, copies of what is parsed."""


class Limits(Frozen):
    """Where a request, or the sum of them, is too much."""

    max_body_mib: int = Field(default=32, ge=1, le=1024, description="Largest body of a request, MiB.")
    max_rows: int = Field(default=32, ge=1, le=1024, description="Most images in one request.")
    max_pixels: int = Field(
        default=30_000_000,
        ge=1024,
        le=178_956_970,
        description="Most pixels that an image's header may claim; the bundle's own limit holds too.",
    )
    max_queue: int = Field(
        default=128, ge=1, le=65_536, description="Most images waiting or at work; above it: 429."
    )
    max_requests: int = Field(
        default=512, ge=1, le=65_536, description="Most requests in hand at once; above it: 429."
    )
    max_buffered_mib: int = Field(
        default=512, ge=1, le=65_536, description="Most memory for bodies of requests in hand, MiB."
    )
    max_decoded_mib: int = Field(
        default=1024,
        ge=64,
        le=65_536,
        description="Most memory for decoding at once, over all threads of a worker, MiB; one image must fit.",
    )
    body_seconds: float = Field(default=30, gt=0, le=600, description="A body must have arrived by then.")
    answer_seconds: float = Field(default=30, gt=0, le=600, description="An answer must be found by then.")

    @property
    def memory_mib(self) -> int:
        """Memory that a worker takes at most, MiB: what a container of one worker must be allowed."""
        return OWN_MIB + self.max_buffered_mib + self.max_decoded_mib

    @model_validator(mode="after")
    def _a_full_request_fits(self) -> Self:
        if self.max_rows > self.max_queue:
            raise ValueError(f"max_rows={self.max_rows} is more than max_queue={self.max_queue} takes")
        if self.max_body_mib > self.max_buffered_mib:
            raise ValueError(
                f"max_body_mib={self.max_body_mib} is more than max_buffered_mib={self.max_buffered_mib} takes"
            )
        most = self.max_pixels * WORST_BYTES
        if most > self.max_decoded_mib << 20:
            raise ValueError(
                f"an image of max_pixels={self.max_pixels} may take {-(-most >> 20)} MiB to decode, more than "
                f"max_decoded_mib={self.max_decoded_mib}"
            )
        return self


class LogSettings(Frozen):
    """What is kept of the predictions."""

    sampling: float = Field(default=1.0, ge=0, le=1, description="Share of the predictions that is logged.")
    images: bool = Field(default=False, description="Also keep the image files themselves.")
    max_disk_mib: int = Field(
        default=256,
        ge=1,
        le=1_048_576,
        description="Most disk for what the workspace has not taken yet; above it rows are dropped.",
    )


class ServeSettings(Frozen):
    """Everything `serve` needs."""

    workspace: StoreUrl = Field(min_length=1, description="Folder or fsspec URL of the workspace.")
    name: ModelName = Field(description="The model's name in the registry; its champion is served.")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; other than this machine's own needs a key.",
    )
    port: int = Field(
        default=8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one and says which."
    )
    workers: int = Field(default=1, ge=1, le=64, description="Processes that share nothing but the cache.")
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Images judged at once in each worker. Left out: the cores divided by the workers.",
    )
    micro_batch: Literal["auto", "on", "off"] = Field(
        default="auto", description="Judge waiting images together; `auto` does so on a GPU only."
    )
    key_file: Path | None = Field(
        default=None,
        description="File of LIGHTBOX_PRIMARY_KEY=... lines, read again when it changes. Left out: the environment.",
    )
    challenger_percent: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Share of requests that the challenger answers; 0: only those that ask by header. Left out, it "
        "is not loaded.",
    )
    mirror_percent: float = Field(
        default=0,
        ge=0,
        le=100,
        description="Share of requests that the challenger judges too, for the log only.",
    )
    poll_seconds: float = Field(
        default=10, gt=0, le=3600, description="Pause between looks for a new champion."
    )
    wait_for_champion: bool = Field(
        default=False, description="Start without a champion, and serve once one is promoted."
    )
    drain_seconds: float = Field(
        default=2,
        ge=0,
        le=300,
        description="After SIGTERM: time in which requests are still taken, each answer closing its connection.",
    )
    log: LogSettings | None = Field(
        default=None, description="Log predictions to the workspace, hourly, as Parquet."
    )
    cache_root: Path | None = Field(
        default=None,
        description="Folder for local copies. Left out: $LIGHTBOX_CACHE, else ~/.cache/lightbox.",
    )
    limits: Limits = Field(default=Limits(), description="Where a request, or the sum of them, is too much.")

    @property
    def wants_challenger(self) -> bool:
        """Whether the challenger is loaded."""
        return self.challenger_percent is not None or self.mirror_percent > 0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the endpoint."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
