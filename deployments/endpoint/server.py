"""Running the endpoint: sockets, workers, signals, and an end that loses no request."""

import asyncio
import ctypes
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import uvicorn

from deployments.endpoint.app import Endpoint, build_app
from deployments.endpoint.keys import KeyRing, require_safe
from deployments.endpoint.measures import MULTIPROCESS_FOLDER, forget_process
from deployments.endpoint.settings import ServeSettings
from tasks.errors import ConfigError, LightboxError

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than load balancers keep an idle connection, so that they end it and not the endpoint."""

_LAST_LOOK_SECONDS: Final = 0.3
_START_FAILED: Final = 3
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
logger = logging.getLogger("lightbox.endpoint")


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address cannot be had, or no key is set and other machines could reach it.
        LightboxError: there is no champion that verifies, and the settings do not say to wait for one.
    """
    _log_to_stderr()
    keys = KeyRing(settings.key_file)
    require_safe(keys, loopback=settings.is_loopback, host=settings.host)
    if keys.is_empty:
        logger.warning("no key is set: this machine only is served (set LIGHTBOX_PRIMARY_KEY for more)")
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if settings.workers == 1:
        _run(settings, keys, listener, address)
    else:
        _supervise(settings, listener, address)


class DrainingServer(uvicorn.Server):
    """After SIGTERM requests are still taken for a while, each answer closing its connection.

    So clients and load balancers move on by themselves before the door shuts; SIGINT shuts it at once. Requests
    in hand are answered in either case.
    """

    def __init__(self, config: uvicorn.Config, endpoint: Endpoint, address: str) -> None:
        super().__init__(config)
        self._endpoint, self._address = endpoint, address
        self._leave_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            model = self._endpoint.champion.model("champion")
            version = model.version if model else "none"
            logger.info(
                "ready: %s (model %s, version %s)", self._address, self._endpoint.settings.name, version
            )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends the draining."""
        seconds = self._endpoint.settings.drain_seconds
        if sig == signal.SIGTERM and not self._endpoint.lifecycle.draining and seconds:
            self._captured_signals.append(sig)
            self._endpoint.lifecycle.draining = True
            self._leave_at = time.monotonic() + seconds
            logger.info("draining for %g s", seconds)
            return
        self._endpoint.lifecycle.draining = True
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to leave."""
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, hear out those who are inside, leave."""
        for listener in sockets or ():
            _take_no_more(listener)
        await asyncio.sleep(_LAST_LOOK_SECONDS)  # what stands in the queue comes in
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_LOOK_SECONDS)  # what came in has sent its request by then
        await super().shutdown(sockets)


def _take_no_more(listener: socket.socket) -> None:
    """Let no new connection into the listener's queue (Linux): closing it would reset those that wait there.

    A filter that lets no packet through, socket(7); clients that come later find the port closed on their next
    try.
    """
    if sys.platform != "linux":
        return
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K, 0 bytes
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        logger.info("this system has no socket filters; connections still queued at the end are reset")


def _run(settings: ServeSettings, keys: KeyRing, listener: socket.socket, address: str) -> None:
    endpoint = Endpoint(settings, keys)
    endpoint.start()
    config = uvicorn.Config(
        build_app(endpoint),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.limits.answer_seconds) + 1,
    )
    DrainingServer(config, endpoint, address).run([listener])


def _work(settings: ServeSettings, listener: socket.socket, address: str) -> None:
    """One worker process."""
    _log_to_stderr()
    try:
        _run(settings, KeyRing(settings.key_file), listener, address)
    except LightboxError as error:
        logger.error("%s", error)
        sys.exit(_START_FAILED)


def _supervise(settings: ServeSettings, listener: socket.socket, address: str) -> None:
    """Keep the workers running; pass signals on; end when they have ended."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: signals.append(received))
    with tempfile.TemporaryDirectory(prefix="lightbox-endpoint-") as folder:
        os.environ[MULTIPROCESS_FOLDER] = folder
        workers = [_start_worker(settings, listener, address) for _ in range(settings.workers)]
        failed = False
        while not signals and not failed:
            multiprocessing.connection.wait([worker.sentinel for worker in workers], timeout=0.2)
            for index, worker in enumerate(workers):
                if worker.exitcode is None or signals:
                    continue
                forget_process(worker.pid or 0)
                if worker.exitcode == _START_FAILED:
                    failed = True
                    break
                logger.error("worker %s ended with %s; another takes its place", worker.pid, worker.exitcode)
                workers[index] = _start_worker(settings, listener, address)
        listener.close()
        for worker in workers:
            if worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, signals[0] if signals else signal.SIGTERM)
        for worker in workers:
            worker.join()
        del os.environ[MULTIPROCESS_FOLDER]
    if failed:
        raise ConfigError("a worker could not start", cure="see its message above; try --workers 1")


def _start_worker(settings: ServeSettings, listener: socket.socket, address: str) -> SpawnProcess:
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(settings, listener, address))
    worker.start()
    return worker


def _listen(settings: ServeSettings) -> socket.socket:
    try:
        family, _, _, _, target = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(2048)
        listener.set_inheritable(True)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
            cure="take another --host or --port",
        ) from error
    return listener


def _log_to_stderr() -> None:
    """What the endpoint says; of the store's client and other packages only what is amiss, not every request."""
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    for ours in ("lightbox", "deployments", "tasks"):
        logging.getLogger(ours).setLevel(logging.INFO)
