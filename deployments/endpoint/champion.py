"""Which versions are served: found in the registry, kept on this machine, swapped while requests run."""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args
from uuid import uuid4

import onnxruntime

from deployments.endpoint.measures import Measures
from deployments.endpoint.served_model import (
    ServedModel,
    copy_version,
    local_version,
    mark_used,
    open_copy,
    prune,
)
from deployments.endpoint.settings import ServeSettings
from tasks.errors import LightboxError, RegistryError, WorkspaceError
from tasks.models.registry import Registry, version_folder
from tasks.stores.fetch import default_cache_root
from tasks.stores.workspace import Workspace
from tasks.work.memory_budget import MemoryBudget

Deployment = Literal["champion", "challenger"]
DEPLOYMENTS: Final[tuple[Deployment, ...]] = get_args(Deployment)
RETRY_REFUSED_SECONDS: Final = 60.0

_LAST_GOOD: Final = "last-good.json"
logger = logging.getLogger("lightbox.endpoint")


class Champion:
    """The champion, and the challenger where it is wanted, each the newest version that proved itself.

    A version that does not verify is refused, and tried again after a minute or when the alias moves on; the
    one before stays. With the workspace away everything goes on as it is, and a restart uses the copies kept
    on this machine.
    """

    def __init__(self, settings: ServeSettings, measures: Measures, width: int) -> None:
        self._settings, self._measures, self._width = settings, measures, width
        self._workspace = Workspace(settings.workspace)
        identity = hashlib.sha256(f"{self._workspace.url}\n{settings.name}".encode()).hexdigest()[:32]
        self._cache = (settings.cache_root or default_cache_root()) / "endpoint" / identity
        self._memory = MemoryBudget(settings.limits.max_decoded_mib << 20)
        self._models: dict[Deployment, ServedModel] = {}
        self._refused: dict[str, float] = {}
        self._up: bool | None = None
        self._in_the_way: LightboxError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def cache_folder(self) -> Path:
        """This model's folder on this machine: copies of its versions, and what is to be logged."""
        return self._cache

    def model(self, deployment: Deployment) -> ServedModel | None:
        """What a deployment serves at this moment."""
        return self._models.get(deployment)

    @property
    def lacks(self) -> str:
        """The same in few words, without a path or an account: for those who showed no key."""
        return "no champion" if isinstance(self._in_the_way, RegistryError) else "the model cannot be had"

    @property
    def missing(self) -> str | None:
        """Why there is no champion to serve; None where there is one, or nobody has looked yet."""
        if "champion" in self._models or self._in_the_way is None:
            return None
        return self._in_the_way.message

    def start(self) -> None:
        """Take the champion into service; from this machine's copy when the workspace is away.

        Raises:
            LightboxError: neither the registry nor this machine has a champion that verifies, and the settings
                do not say to wait for one.
        """
        problem = self.look()
        if "champion" not in self._models:
            self._serve_last_good()
        if "champion" not in self._models:
            problem = problem or RegistryError(
                f"{self._workspace.url} has no champion of {self._settings.name!r}",
                cure="train and promote one: lightbox retrain, lightbox models promote",
            )
            if not self._settings.wait_for_champion:
                raise problem
            self._in_the_way = problem
            logger.warning("waiting for a champion: %s", problem.message)

    def watch(self) -> None:
        """Look for new versions from now on, in the background."""
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def look(self) -> LightboxError | None:
        """Look once for new versions and take them into service; what was in the way, if anything was."""
        self._in_the_way = self._looked()
        return self._in_the_way

    def _looked(self) -> LightboxError | None:
        try:
            aliases = self._aliases()
        except LightboxError as error:
            self._note_workspace(error)
            return error
        self._note_workspace(None)
        problem: LightboxError | None = None
        for deployment in DEPLOYMENTS if self._settings.wants_challenger else DEPLOYMENTS[:1]:
            try:
                self._follow(deployment, aliases.get(deployment))
            except WorkspaceError as error:
                self._note_workspace(error)
                problem = error
            except LightboxError as error:
                problem = error
        return problem

    def _aliases(self) -> Mapping[Deployment, str | None]:
        found = Registry(self._workspace).aliases(self._settings.name)
        if found.champion is None:
            raise RegistryError(
                f"{self._workspace.url} has no champion of {self._settings.name!r}",
                cure="check the workspace and the name; train and promote a model: lightbox retrain",
            )
        return {"champion": found.champion, "challenger": found.challenger}

    def _follow(self, deployment: Deployment, version: str | None) -> None:
        current = self._models.get(deployment)
        if version is None:
            if deployment == "challenger" and current is not None:
                del self._models[deployment]
                self._measures.model.labels(deployment, current.version).set(0)
            return
        if current is not None and current.version == version:
            return
        if time.monotonic() - self._refused.get(version, -RETRY_REFUSED_SECONDS) < RETRY_REFUSED_SECONDS:
            return
        try:
            place = version_folder(self._settings.name, version)
            folder = copy_version(self._workspace, place, self._cache, version)
            self._take(deployment, version, folder)
        except WorkspaceError:
            raise
        except Exception as error:
            self._refused[version] = time.monotonic()
            self._measures.refused.labels(deployment).inc()
            logger.error("%s version %s is refused: %s", deployment, version, error)
            if isinstance(error, LightboxError):
                raise
            return
        self._remember()

    def _take(self, deployment: Deployment, version: str, folder: Path) -> None:
        """Load beside what is served, prove, then swap: requests at work end with the model they began with."""
        model = ServedModel(
            open_copy(folder),
            version,
            max_pixels=self._settings.limits.max_pixels,
            memory=self._memory,
            batched=batches(self._settings),
            observe_batch=self._measures.batch.observe,
        )
        model.try_out(self._width)
        before = self._models.get(deployment)
        self._models[deployment] = model
        self._refused.pop(version, None)
        self._measures.serves(deployment, version, instead_of=before.version if before else None)
        self._measures.swaps.labels(deployment).inc()
        logger.info("%s is version %s", deployment, version)

    def _serve_last_good(self) -> None:
        try:
            kept = json.loads((self._cache / _LAST_GOOD).read_bytes())
            folder = local_version(self._cache, str(kept["champion"]))
        except (OSError, ValueError, KeyError, TypeError):
            return
        if folder is None:
            return
        try:
            self._take("champion", folder.name, folder)
        except LightboxError as error:
            logger.error("the copy on this machine cannot be used: %s", error)
            return
        logger.warning(
            "serving version %s from this machine's copy until the registry offers one", folder.name
        )

    def _remember(self) -> None:
        kept = {deployment: model.version for deployment, model in self._models.items()}
        temporary = self._cache / f".{uuid4().hex}.json"
        try:
            temporary.write_text(json.dumps(kept))
            temporary.replace(self._cache / _LAST_GOOD)
            for version in kept.values():
                mark_used(self._cache, version)
            prune(self._cache, set(kept.values()))
        except OSError as error:
            logger.warning("the cache %s cannot be written: %s", self._cache, error.strerror)

    def _note_workspace(self, error: LightboxError | None) -> None:
        up = error is None
        self._measures.workspace.set(up)
        if up != self._up and (self._up is not None or not up):
            if error is None:
                logger.info("the workspace answers again")
            else:
                logger.warning("going on with what is at hand: %s", error)
        self._up = up

    def _watch(self) -> None:
        stand_back()
        while not self._stop.wait(self._settings.poll_seconds):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the watch must go on whatever a store's library raises
                logger.error("looking for a new version failed: %s", type(error).__name__)


def batches(settings: ServeSettings) -> bool:
    """Whether waiting images are judged together."""
    if settings.micro_batch != "auto":
        return settings.micro_batch == "on"
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def stand_back() -> None:
    """Let requests go before the calling thread's work (Linux gives each thread its own niceness)."""
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        except OSError:
            return
