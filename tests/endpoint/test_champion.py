"""Versions come and go while requests run; what does not verify, or a workspace that is away, changes nothing."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.samples.endpoint_bundles import REASON
from support.services.endpoint_load import Load
from support.services.live_endpoint import Client, Live, live, picture

from deployments.endpoint.settings import ServeSettings
from tasks.errors import LightboxError
from tasks.models.registry import Registry
from tasks.stores.workspace import Workspace

Settings = Callable[..., ServeSettings]


@pytest.fixture
def registry(workspace: Path) -> Registry:
    return Registry(Workspace(str(workspace)))


def metric(client: Client, line: str) -> float:
    text = client.get("/metrics").body.decode()
    found = [
        row.rpartition(" ")[2] for row in text.splitlines() if row.startswith(f"lightbox_endpoint_{line} ")
    ]
    return float(found[0]) if found else 0.0


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.02)


def version(found: Live) -> str:
    answered: str = found.client.predict(picture()).json["predictions"][0]["model_version"]
    return answered


def test_champions_change_and_the_workspace_goes_without_a_failed_request(
    settings: Settings, registry: Registry, workspace: Path
) -> None:
    with live(settings(poll_seconds=0.1)) as found, Load(found.client.port, picture()) as load:
        load.wait_for("v1")
        registry.promote("slices", "v2", REASON)
        load.wait_for("v2")
        workspace.rename(workspace.with_name("away"))
        wait_until(lambda: metric(found.client, "workspace_up") == 0)
        before = load.answered
        wait_until(lambda: load.answered > before + 20)
        workspace.with_name("away").rename(workspace)
        registry.promote("slices", "v3", REASON)
        load.wait_for("v3")
        wait_until(lambda: metric(found.client, "workspace_up") == 1)
        load.versions.clear()
        load.wait_for("v3")
        assert set(load.versions) == {"v3"}
        assert metric(found.client, 'model_info{deployment="champion",version="v3"}') == 1
        assert metric(found.client, 'model_info{deployment="champion",version="v2"}') == 0
    assert load.failures == []


def _damage_graph(bundle: Path) -> None:
    graph = bundle / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")


def _damage_manifest(bundle: Path) -> None:
    (bundle / "bundle.json").write_text('{"schema_version": 99}')


def _remove_graph(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()


def _cut_manifest(bundle: Path) -> None:
    (bundle / "bundle.json").write_bytes((bundle / "bundle.json").read_bytes()[:100])


@pytest.mark.parametrize("damage", [_damage_graph, _damage_manifest, _remove_graph, _cut_manifest])
def test_a_damaged_version_is_refused_and_the_old_one_stays(
    settings: Settings, registry: Registry, workspace: Path, damage: Callable[[Path], None]
) -> None:
    with live(settings()) as found:
        damage(workspace / "models/slices/v2")
        registry.promote("slices", "v2", REASON)
        assert found.endpoint.champion.look() is not None
        assert version(found) == "v1"
        registry.promote("slices", "v3", REASON)
        assert found.endpoint.champion.look() is None
        assert version(found) == "v3"


def test_a_version_with_figures_that_are_no_numbers_is_refused(
    settings: Settings, registry: Registry, workspace: Path
) -> None:
    import json

    import numpy as np
    import onnx
    from onnx import numpy_helper

    from tasks.models.manifest import sha256_of

    folder = workspace / "models/slices/v2"
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.endswith("head.bias"):
            nan = np.full_like(numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(numpy_helper.from_array(nan, tensor.name))
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["files"]["model.onnx"] = sha256_of(folder / "model.onnx")
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with live(settings()) as found:
        registry.promote("slices", "v2", REASON)
        problem = found.endpoint.champion.look()
        assert problem is not None
        assert "not finite" in problem.message
        assert version(found) == "v1"
        assert metric(found.client, 'refused_versions_total{deployment="champion"}') == 1


def test_a_restart_without_the_workspace_serves_the_last_good_version(
    settings: Settings, registry: Registry, workspace: Path
) -> None:
    registry.promote("slices", "v2", REASON)
    with live(settings()) as found:
        expected = found.client.predict(picture()).json
    shutil.rmtree(workspace)
    with live(settings()) as found:
        assert found.client.predict(picture()).json == expected
        assert version(found) == "v2"


def test_without_a_champion_it_waits_where_it_is_told_to_and_says_why(
    settings: Settings, bundles: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "empty"
    registry = Registry(Workspace(str(root)))
    waiting = settings(workspace=str(root), wait_for_champion=True, poll_seconds=0.1)
    with live(waiting) as found:
        assert found.client.get("/health/live").status == 200
        ready = found.client.get("/health/ready")
        assert (ready.status, ready.json["status"]) == (503, "waiting")
        assert "has no champion of 'slices'" in ready.json["reason"]
        refused = found.client.predict(picture())
        assert (refused.status, refused.error["code"]) == (503, "not_ready")
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/model"):
            assert found.client.get(path).status == 200, path
        registry.publish(bundles[0])
        registry.promote("slices", "v1", REASON)
        wait_until(lambda: found.client.get("/health/ready").status == 200)
        assert version(found) == "v1"


def test_a_damaged_copy_is_not_served(settings: Settings, workspace: Path, tmp_path: Path) -> None:
    with live(settings()):
        pass
    (copy,) = (tmp_path / "cache").glob("endpoint/*/v1")
    _damage_graph(copy)
    with live(settings()) as found:  # the workspace has it whole
        assert version(found) == "v1"
    _damage_graph(copy)
    shutil.rmtree(workspace)
    with pytest.raises(LightboxError), live(settings()):
        pass


def test_only_the_newest_copies_are_kept(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    with live(settings()) as found:
        for _ in range(2):
            for name in ("v2", "v3", "v1"):
                registry.promote("slices", name, REASON)
                assert found.endpoint.champion.look() is None
                assert version(found) == name
    assert len(list((tmp_path / "cache").glob("endpoint/*/v*"))) == 3
    assert not list((tmp_path / "cache").glob("endpoint/*/.*"))


def test_the_copy_that_is_served_is_kept_though_it_is_the_oldest(
    settings: Settings, registry: Registry, bundles: list[Path], workspace: Path, tmp_path: Path
) -> None:
    versions = ["v2", "v3", *(registry.publish(bundle) for bundle in bundles)]
    with live(settings(challenger_percent=0)) as found:
        for name in versions:
            registry.promote("slices", name, REASON)
            assert found.endpoint.champion.look() is None
        copies = sorted((tmp_path / "cache").glob("endpoint/*/v*"), key=lambda path: int(path.name[1:]))
        registry.promote("slices", copies[0].name, REASON)  # back to the oldest
        assert found.endpoint.champion.look() is None
        os.utime(copies[0], (0, 0))
        registry.promote("slices", "v1", REASON, alias="challenger")  # one more copy
        assert found.endpoint.champion.look() is None
        expected = found.client.predict(picture()).json
        assert version(found) == copies[0].name != copies[-1].name
    shutil.rmtree(workspace)
    with live(settings()) as found:
        assert found.client.predict(picture()).json == expected


def test_the_header_picks_the_deployment(settings: Settings, registry: Registry) -> None:
    registry.promote("slices", "v2", REASON, alias="challenger")
    with live(settings(challenger_percent=0)) as found:
        for name, number in (("champion", "v1"), ("challenger", "v2")):
            answer = found.client.predict(picture(), headers={"azureml-model-deployment": name})
            assert answer.json["predictions"][0]["model_version"] == number
            assert answer.headers["azureml-model-deployment"] == name
        assert {version(found) for _ in range(20)} == {"v1"}
        wrong = found.client.predict(picture(), headers={"azureml-model-deployment": "blue"})
        assert (wrong.status, wrong.error["code"]) == (400, "unknown_deployment")
        assert set(found.client.get("/model").json) == {"champion", "challenger"}


def test_traffic_is_split_by_the_percentage(settings: Settings, registry: Registry) -> None:
    registry.promote("slices", "v2", REASON, alias="challenger")
    with live(settings(challenger_percent=50)) as found:
        answered = [version(found) for _ in range(60)]
        assert 10 < answered.count("v2") < 50
    with live(settings(challenger_percent=100)) as found:
        assert {version(found) for _ in range(5)} == {"v2"}


def test_a_challenger_that_is_gone_leaves_all_to_the_champion(settings: Settings, registry: Registry) -> None:
    registry.promote("slices", "v2", REASON, alias="challenger")
    with live(settings(challenger_percent=100)) as found:
        assert version(found) == "v2"
        registry.promote("slices", "v2", REASON)  # a challenger that wins is challenger no more
        assert found.endpoint.champion.look() is None
        answer = found.client.predict(picture())
        assert answer.headers["azureml-model-deployment"] == "champion"
        assert answer.json["predictions"][0]["model_version"] == "v2"


def test_a_mirror_is_asked_and_not_heard(settings: Settings, registry: Registry) -> None:
    registry.promote("slices", "v2", REASON, alias="challenger")
    with live(settings(mirror_percent=100)) as found:
        for _ in range(5):
            answer = found.client.predict(picture())
            assert answer.json["predictions"][0]["model_version"] == "v1"

        def mirrored() -> float:
            return sum(
                metric(found.client, f'images_total{{deployment="mirror",label="{label}"}}')
                for label in ("no", "yes")
            )

        wait_until(lambda: mirrored() == 5)


def test_micro_batches_answer_as_single_images_do(settings: Settings) -> None:
    with live(settings(micro_batch="off")) as found:
        expected = [found.client.predict(picture(seed)).json for seed in range(3)]
    with live(settings(micro_batch="on", threads=8)) as found:
        with Load(found.client.port, picture(), clients=8) as load:
            wait_until(lambda: load.answered > 100)
        assert load.failures == []
        batches = metric(found.client, "batch_images_count") - metric(
            found.client, 'batch_images_bucket{le="1.0"}'
        )
        assert batches > 0
        for seed in range(3):
            (row,) = found.client.predict(picture(seed)).json["predictions"]
            (wanted,) = expected[seed]["predictions"]
            assert row["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)
