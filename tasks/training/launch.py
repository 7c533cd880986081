"""Start the ranks of one training on this machine, hear from them, and tell which one failed."""

import multiprocessing
import os
import pickle
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from tasks.errors import LightboxError, TrainingError
from tasks.work.progress import Progress

R = TypeVar("R")

GRACE_SECONDS = 2.0
"""How long the other ranks may take to say what they know after one has ended badly."""


def launch(work: Callable[..., R], devices: int, *, device: str, progress: Progress, **arguments: Any) -> R:
    """Do the same work on so many ranks, each a process with a device of its own; answer what the first one does.

    `work` is a module's function; it is called with `arguments`, a `device` and a `progress`. Each process sees the
    environment that `torchrun` would give it (docs.pytorch.org/docs/stable/elastic/run.html).

    Raises:
        LightboxError: what a rank raised. TrainingError: a rank died.
    """
    threads = max(1, torch.get_num_threads() // devices)
    store = _rendezvous()
    context = multiprocessing.get_context("spawn")
    ranks: list[SpawnProcess] = []
    ends: list[Connection] = []
    try:
        for rank in range(devices):
            ours, theirs = context.Pipe(duplex=False)
            place = _torchrun_environment(rank, devices, store.port)
            told = (place, device, threads, theirs, work, arguments)
            process = context.Process(target=_work_as_rank, args=told, name=f"rank {rank}", daemon=True)
            process.start()
            theirs.close()
            ranks.append(process)
            ends.append(ours)
        return cast("R", _outcome(ranks, ends, progress))
    finally:
        for process in ranks:
            process.kill()
            process.join()
        for end in ends:
            end.close()


def _rendezvous() -> Any:
    """Where the ranks find one another: on loopback only, since nobody is asked who they are.

    By itself torch would listen on all addresses.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    return dist.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )


def _torchrun_environment(rank: int, size: int, port: int) -> dict[str, str]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    return {
        **{key: str(value) for key, value in place.items()},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is the parent's: no port is chosen twice
    }


def _outcome(ranks: list[SpawnProcess], ends: list[Connection], progress: Progress) -> Any:
    """Pass progress on until the first rank has answered and all have ended well.

    Raises: as `launch`.
    """
    answer: Any = None
    open_ends = dict(zip(ends, range(len(ends)), strict=True))
    said: dict[int, BaseException] = {}
    failed = False
    while open_ends:
        heard = wait(list(open_ends), GRACE_SECONDS if failed else None)
        if not heard:
            break
        for end in [end for end in open_ends if end in heard]:
            try:
                kind, value = end.recv()
            except (EOFError, OSError):
                rank = open_ends.pop(end)
                ranks[rank].join(GRACE_SECONDS)
                failed = failed or ranks[rank].exitcode != 0
                continue
            if kind == "progress":
                progress(*value)
            elif kind == "answer":
                answer = pickle.loads(value)  # noqa: S301 - of our own process
            else:
                said[open_ends[end]] = value
    if answer is None:
        raise _told(ranks, said)
    return answer


def _told(ranks: list[SpawnProcess], said: dict[int, BaseException]) -> LightboxError:
    """The cause among what followed from it: ranks whose peer is gone fail in the connection to it."""
    for error in said.values():
        if isinstance(error, LightboxError):
            return error
    for rank, process in enumerate(ranks):
        if process.exitcode is not None and process.exitcode < 0:
            return TrainingError(
                f"rank {rank} of {len(ranks)} was ended by signal {-process.exitcode} in the middle of a training",
                cure="run again: the training goes on after its last whole epoch; signal 9 is often a want of "
                "memory, which fewer --devices need less of",
            )
    rank, error = next(iter(said.items()), (0, RuntimeError("it said nothing")))
    return TrainingError(
        f"rank {rank} of {len(ranks)} failed: {error}", cure="see its traceback above; train with devices 1"
    )


def _work_as_rank(
    place: dict[str, str],
    device: str,
    threads: int,
    parent: Connection,
    work: Callable[..., Any],
    arguments: dict[str, Any],
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(place)
    rank = int(place["RANK"])
    torch.set_num_threads(threads)
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        device = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, "lo")  # nothing listens outside this machine
    try:
        dist.init_process_group("nccl" if cuda else "gloo")
        answer = work(**arguments, device=device, progress=_progress_to(parent, rank))
        dist.destroy_process_group()
        if rank == 0:
            parent.send(("answer", pickle.dumps(answer)))
    except LightboxError as error:
        parent.send(("error", error))
        os._exit(1)
    except Exception as error:
        with suppress(OSError):
            parent.send(("error", RuntimeError(f"{type(error).__name__}: {error}")))
        raise


def _progress_to(parent: Connection, rank: int) -> Progress:
    def tell(done: int, total: int | None, text: str) -> None:
        if rank == 0:
            parent.send(("progress", (done, total, text)))

    return tell


def _end_with_parent() -> None:
    """A rank whose parent is killed must not go on alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
