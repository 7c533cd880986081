"""One training on several processes: the figures of one, after a rank was killed as well; failures are told."""

import ipaddress
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.repository import REPOSITORY, TESTS
from support.runs.listening import addresses_of_a_rank
from support.runs.torchrun_training import FINE_TUNE, train_both
from support.samples.disc_pictures import Pictures

from tasks.data.training_view import TrainingView
from tasks.errors import ConfigError, TrainingError
from tasks.training.device import check_devices
from tasks.training.distributed import Ranks
from tasks.training.launch import launch
from tasks.training.member import TrainedMember, fit_member
from tasks.work.progress import silent


class Cramped(Pictures):
    """A second rank whose device holds two images; the first one's holds all."""

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        if len(sha256s) > 2 and os.environ.get("RANK") == "1":
            raise torch.OutOfMemoryError
        return super().take(sha256s)


def train(view: TrainingView, images: Pictures, **options: Any) -> TrainedMember:
    recipe = FINE_TUNE.model_copy(
        update={
            "probe_views": 0,
            "optimisation": FINE_TUNE.optimisation.model_copy(
                update={"validation_fraction": 0.0, "patience": None}
            ),
        }
    )
    return fit_member(view, images, ("no", "yes"), recipe, 0, device="cpu", **options)


@pytest.mark.slow
def test_torchrun_gives_the_weights_of_one_process(
    view: TrainingView, pictures: Pictures, tmp_path: Path
) -> None:
    """In float32, so that what is left is the order in which gradients are added up."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(TESTS), str(REPOSITORY)])
    subprocess.run(
        [*command, str(TESTS / "support" / "runs" / "torchrun_training.py"), str(tmp_path)],
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        timeout=240,
    )
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    one = train_both(pictures, view)
    for kind, weights in one.items():
        assert all(torch.equal(value, second[kind][key]) for key, value in first[kind].items())
        if kind == FINE_TUNE.kind:
            assert all(torch.allclose(value, first[kind][key], atol=1e-5) for key, value in weights.items())
    assert first["full"]["stages.1.0.bn1.num_batches_tracked"] == 2


@pytest.mark.slow
def test_a_killed_rank_is_told_and_gone_on_from(
    view: TrainingView, pictures: Pictures, tmp_path: Path
) -> None:
    images = Cramped(pictures.pixels)

    def kill(done: int, total: int | None, text: str) -> None:
        if ", loss " in text:
            (second,) = [process for process in multiprocessing.active_children() if process.name == "rank 1"]
            assert second.pid is not None
            os.kill(second.pid, signal.SIGKILL)

    with pytest.raises(TrainingError, match="rank 1 of 2 was ended by signal 9") as told:
        train(view, images, devices=2, checkpoint_dir=tmp_path, progress=kill)
    assert "goes on after its last whole epoch" in told.value.cure
    assert not multiprocessing.active_children()
    resumed: list[str] = []
    member = train(
        view, images, devices=2, checkpoint_dir=tmp_path, progress=lambda _, __, text: resumed.append(text)
    )
    assert len([text for text in resumed if ", loss " in text]) < 3
    assert member.notes == ["out of memory: batches are now computed 2 images at a time"]
    one = train(view, images)
    losses = [row.train_loss for row in one.curves]
    assert [row.train_loss for row in member.curves] == pytest.approx(losses, rel=5e-3)  # bfloat16
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ranks_meet_on_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.delenv(variable, raising=False)
    found = launch(addresses_of_a_rank, 2, device="cpu", progress=silent)
    assert "127.0.0.1" in found
    assert all(ipaddress.ip_address(address).is_loopback for address in found), found


def test_shares_differ_by_one_at_most_and_leave_nothing_out() -> None:
    names = [str(i) for i in range(10)]
    shares = [names[Ranks(rank, 4).share] for rank in range(4)]
    assert sorted(name for share in shares for name in share) == names
    assert [len(share) for share in shares] == [3, 3, 2, 2]


def test_more_devices_than_there_are_is_an_error_before_any_training(
    view: TrainingView, pictures: Pictures
) -> None:
    with pytest.raises(ConfigError, match="devices 4000: there are") as told:
        train(view, pictures, devices=4000)
    assert f"set devices to {os.cpu_count()} or fewer" in told.value.cure
    with pytest.raises(ConfigError, match="devices 2: there are 1 images"):
        check_devices("cpu", 2, n_images=1)
