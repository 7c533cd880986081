"""Bundles are whole or refused, and say the same however they are asked and wherever they stand."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.repository import REPOSITORY
from support.samples.small_bundles import KIND, as_png, facts, members, pixels, write_bundle

from tasks.errors import BundleError, ConfigError
from tasks.images.reject_reasons import RejectReason
from tasks.models.bundle import Bundle, Prediction, Rejected, load_bundle
from tasks.models.inference import Graph, probabilities
from tasks.models.manifest import amend, sha256_of


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def rewrite(bundle: Path, name: str, data: bytes) -> None:
    """Put a file in with its right digest: what a forger could do."""
    (bundle / name).write_bytes(data)
    content = json.loads((bundle / "bundle.json").read_bytes())
    content["files"][name] = hashlib.sha256(data).hexdigest()
    (bundle / "bundle.json").write_text(json.dumps(content))


class TestPredictions:
    """What is said does not depend on how it is asked."""

    def test_bytes_and_pixels_agree(self, exported: Path) -> None:
        bundle, images = load_bundle(exported), pixels(150)
        expected = probabilities(bundle.predict_pixels(images))
        said = bundle.predict_bytes([as_png(image) for image in images])
        assert len(said) == 150
        for prediction, row in zip(said, expected, strict=True):
            assert isinstance(prediction, Prediction)
            assert list(prediction.probabilities) == ["no", "yes"]
            np.testing.assert_allclose(list(prediction.probabilities.values()), row, atol=1e-6)
            assert prediction.label == ("yes" if row[1] >= 0.3 else "no")
        assert {prediction.label for prediction in said if isinstance(prediction, Prediction)} == {
            "no",
            "yes",
        }

    def test_bad_images_are_told_in_their_place(self, exported: Path) -> None:
        bundle = load_bundle(exported)
        good = [as_png(image) for image in pixels(2)]
        said = bundle.predict_bytes([b"", good[0], b"no image at all", good[1], good[0][:60]])
        reasons = [item.reason if isinstance(item, Rejected) else None for item in said]
        assert reasons == [
            RejectReason.empty_file,
            None,
            RejectReason.not_an_image,
            None,
            RejectReason.truncated,
        ]
        assert said[1] == bundle.predict_bytes([good[0]])[0]
        assert bundle.predict_bytes([b""]) == [said[0]]
        assert bundle.predict_bytes([]) == []

    def test_temperature_and_threshold_decide(self, copied: Path) -> None:
        image = as_png(pixels(1)[0])
        logits = load_bundle(copied).predict_pixels(pixels(1))
        cooled = probabilities(logits, 4.0)[0, 1]
        for threshold, label in ((cooled - 1e-6, "yes"), (cooled + 1e-6, "no")):
            amend(copied, temperature=4.0, threshold=threshold)
            (said,) = load_bundle(copied).predict_bytes([image])
            assert isinstance(said, Prediction)
            assert said.label == label
            assert said.probabilities["yes"] == pytest.approx(cooled, abs=1e-6)

    def test_offsets_say_how_common_a_class_is(self, copied: Path) -> None:
        logits = load_bundle(copied).predict_pixels(pixels(1))
        amend(copied, offsets=(0.5, -0.5))
        (said,) = load_bundle(copied).decide(logits)
        moved = logits[0, 1] - logits[0, 0] - 1.0
        assert said.probabilities["yes"] == pytest.approx(1 / (1 + np.exp(-moved)), abs=1e-6)

    def test_a_bundle_of_the_last_schema_is_read(self, copied: Path) -> None:
        now = load_bundle(copied).manifest
        content = json.loads((copied / "bundle.json").read_bytes())
        content |= {"schema_version": 2, "fold_rules": [{"fold": 0, "temperature": 1.0, "threshold": 0.4}]}
        del content["offsets"]
        for member in content["members"]:
            del member["offsets"]
        (copied / "bundle.json").write_text(json.dumps(content))
        assert load_bundle(copied).manifest == now

    def test_several_classes_take_the_most_probable(self, tmp_path: Path) -> None:
        said = facts(classes=("a", "b", "c"), positive_class="b")
        write_bundle(tmp_path / "b", members(2, n_classes=3), said)
        said_of_each = load_bundle(tmp_path / "b").decide(np.eye(3) * 2)
        assert [prediction.label for prediction in said_of_each] == ["a", "b", "c"]

    def test_batches_and_threads_change_nothing(self, exported: Path) -> None:
        bundle, images = load_bundle(exported, threads=2), pixels(40)
        whole = bundle.predict_pixels(images)
        singly = np.concatenate([bundle.predict_pixels(images[row : row + 1]) for row in range(40)])
        np.testing.assert_allclose(whole, singly, atol=1e-5)
        with ThreadPoolExecutor(4) as pool:
            members_at_once = list(pool.map(lambda k: bundle.predict_pixels(images, k % 3), range(12)))
        for k, found in enumerate(members_at_once):
            np.testing.assert_array_equal(found, members_at_once[k % 3])
        assert bundle.predict_pixels(pixels(0)).shape == (0, 2)

    def test_progress_counts_images(self, exported: Path) -> None:
        told: list[tuple[int, int | None]] = []
        load_bundle(exported).predict_pixels(
            pixels(40), progress=lambda done, total, _: told.append((done, total))
        )
        assert told == [(done, 40) for done in range(1, 41)]

    def test_other_pixels_and_members_are_refused(self, exported: Path) -> None:
        bundle = load_bundle(exported)
        with pytest.raises(ValueError, match=r"uint8 \(N, 32, 32, 3\) is needed"):
            bundle.predict_pixels(np.zeros((1, 31, 32, 3), np.uint8))
        with pytest.raises(ValueError, match="float32"):
            bundle.predict_pixels(pixels(1).astype(np.float32))
        with pytest.raises(BundleError, match="has no member 3"):
            bundle.predict_pixels(pixels(1), 3)

    @given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), max_size=5), st.floats(0.05, 20))
    def test_probabilities_are_probabilities(self, rows: list[list[float]], temperature: float) -> None:
        logits = np.array(rows, np.float64).reshape(-1, 3)
        found = probabilities(logits, temperature)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)
        winners = logits.argmax(axis=1)
        assert all(row[winner] == row.max() for row, winner in zip(found, winners, strict=True))


class TestHonesty:
    """Members judge news to them."""

    def test_members_that_saw_an_image_or_its_group_do_not_judge_it(self, exported: Path) -> None:
        bundle = load_bundle(exported)
        assert bundle.members_unseen_by("a" * 64, "one") == (0,)
        assert bundle.members_unseen_by("e" * 64, "one") == (0,), "a new copy of a known image"
        assert bundle.members_unseen_by("e" * 64, "four") == (0, 1, 2), "news to all"
        assert bundle.members_unseen_by("a" * 64, "renamed") == (0,), "its group has another name now"

    def test_groups_that_grew_together_are_known_by_their_images(self, exported: Path) -> None:
        bundle = load_bundle(exported)
        assert bundle.members_unseen_by("e" * 64, "new", copies=["a" * 64]) == (0,)
        assert bundle.members_unseen_by("e" * 64, "one", copies=["c" * 64]) == ()
        assert bundle.members_unseen_by("e" * 64, "new", copies=["f" * 64]) == (0, 1, 2)

    def test_each_image_is_judged_by_the_members_it_is_news_to(self, exported: Path) -> None:
        bundle, images = load_bundle(exported), pixels(4)
        digests = ["a" * 64, "c" * 64, "e" * 64, "f" * 64]
        copies: list[list[str]] = [[], [], [], ["a" * 64, "c" * 64]]
        logits, unseen = bundle.predict_unseen(
            {KIND.preprocessing: images}, digests, ["one", "two", "new", "new"], copies
        )
        each = np.stack([bundle.predict_pixels(images, member) for member in range(3)])
        np.testing.assert_allclose(logits[0], each[0, 0], atol=1e-5)
        np.testing.assert_allclose(logits[1], each[1, 1], atol=1e-5)
        np.testing.assert_allclose(logits[2], each[:, 2].mean(axis=0), atol=1e-5)
        assert [np.flatnonzero(members).tolist() for members in unseen] == [[0], [1], [0, 1, 2], []]
        assert not logits[3].any()

    def test_nothing_to_judge(self, exported: Path) -> None:
        logits, unseen = load_bundle(exported).predict_unseen({KIND.preprocessing: pixels(0)}, [], [])
        assert (logits.shape, unseen.shape) == ((0, 2), (0, 3))


class TestDamage:
    """What is not whole is refused."""

    def test_a_whole_bundle_passes(self, exported: Path) -> None:
        load_bundle(exported).verify()

    @pytest.mark.parametrize(
        "name", ["model.onnx", "model.safetensors", "member-1.onnx", "training_images.json"]
    )
    @pytest.mark.parametrize("damage", ["changed", "missing"])
    def test_damaged_files_are_named(self, copied: Path, name: str, damage: str) -> None:
        path = copied / name
        if damage == "missing":
            path.unlink()
        else:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        with pytest.raises(BundleError, match=name.replace(".", r"\.")) as caught:
            load_bundle(copied).verify()
        assert "again" in caught.value.cure

    def test_a_damaged_graph_is_never_loaded(self, copied: Path) -> None:
        (copied / "model.onnx").write_bytes((copied / "member-0.onnx").read_bytes())
        with pytest.raises(BundleError, match="its SHA-256 is"):
            load_bundle(copied)

    def test_members_do_not_judge_with_damaged_weights(self, copied: Path) -> None:
        with (copied / "model.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\xff")
        bundle = load_bundle(copied)
        assert bundle.predict_pixels(pixels(1)).shape == (1, 2), "the served graph stands alone"
        with pytest.raises(BundleError, match=r"model\.safetensors is damaged"):
            bundle.predict_pixels(pixels(1), 0)

    def test_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="no bundle at"):
            load_bundle(tmp_path)
        with pytest.raises(BundleError, match="no bundle at"):
            load_bundle(tmp_path / "nowhere")
        with pytest.raises(ConfigError):
            load_bundle("nosuchscheme://bundle")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"schema_version": 1}, "bundle schema 1; this version of Lightbox reads schema 3"),
            ({"offsets": [0.1]}, "1 offsets for 2 classes"),
            ({"schema_version": None}, "bundle schema None"),
            ({"classes": ["yes"]}, "does not fit the schema: classes"),
            ({"classes": ["yes", "yes"]}, "hold a name twice"),
            ({"positive_class": "maybe"}, "is none of"),
            ({"temperature": 0}, "does not fit the schema: temperature"),
            ({"surprise": 1}, "does not fit the schema: surprise"),
            ({"name": "../up"}, "is no model name"),
            ({"files": {"../x": "0" * 64}}, "is no plain path"),
            ({"files": {"model.onnx": "0" * 64}}, "is not among the bundle's files"),
            ({"classes": ["no", "yes", "perhaps"], "threshold": None}, "says 32 px and 3"),
        ],
    )
    def test_a_manifest_that_does_not_fit(
        self, copied: Path, change: dict[str, object], message: str
    ) -> None:
        content = json.loads((copied / "bundle.json").read_bytes())
        (copied / "bundle.json").write_text(json.dumps(content | change))
        with pytest.raises(BundleError) as caught:
            load_bundle(copied)
        assert message in caught.value.message
        assert str(copied) in caught.value.message

    def test_a_manifest_that_is_no_json(self, copied: Path) -> None:
        (copied / "bundle.json").write_bytes(b"{")
        with pytest.raises(BundleError, match="is not JSON"):
            load_bundle(copied)
        (copied / "bundle.json").write_bytes(b"[]")
        with pytest.raises(BundleError, match="bundle schema None"):
            load_bundle(copied)

    def test_amending_checks_the_schema_and_keeps_the_rest(self, copied: Path) -> None:
        before = load_bundle(copied).manifest
        after = amend(copied, metrics={"recall": 0.9}, temperature=1.5)
        assert after == load_bundle(copied).manifest
        assert after == before.model_copy(update={"metrics": {"recall": 0.9}, "temperature": 1.5})
        with pytest.raises(ValueError, match="temperature"):
            amend(copied, temperature=-1)
        assert load_bundle(copied).manifest == after


class Marker:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


class TestForgery:
    """What is whole and means harm is refused."""

    @pytest.mark.parametrize("name", ["model.onnx", "training_images.json"])
    def test_a_pickle_is_never_unpickled(self, copied: Path, tmp_path: Path, name: str) -> None:
        rewrite(copied, name, pickle.dumps(Marker(tmp_path / "run")))
        with pytest.raises(BundleError):
            load_bundle(copied).members_unseen_by("a" * 64, "one")
        assert not (tmp_path / "run").exists()

    def test_a_graph_cannot_read_outside_the_bundle(self, copied: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes((copied / "model.safetensors").read_bytes())
        graph = onnx.load(copied / "member-0.onnx", load_external_data=False)
        for tensor in graph.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "../secret"
        rewrite(copied, "model.onnx", graph.SerializeToString())
        with pytest.raises(BundleError, match="cannot be loaded by ONNX Runtime"):
            load_bundle(copied)

    def test_a_graph_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N"])
        result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N"])
        node = onnx.helper.make_node("Neg", ["x"], ["y"])
        model = onnx.helper.make_model(
            onnx.helper.make_graph([node], "other", [value], [result]),
            opset_imports=[onnx.helper.make_opsetid("", 20)],
            ir_version=10,
        )
        (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(BundleError, match="cannot be loaded"):
            Graph(tmp_path / "other.onnx")


class TestRemote:
    """A bundle is the same wherever it stands."""

    @pytest.fixture
    def remote(self, exported: Path) -> str:
        """The bundle in an object store."""
        files = fsspec.filesystem("memory")
        url = f"memory://bundles-{id(self)}/small"
        for path in exported.iterdir():
            files.pipe(f"{url}/{path.name}", path.read_bytes())
        return url

    def test_only_what_is_used_is_fetched_and_kept(self, remote: str, exported: Path, tmp_path: Path) -> None:
        bundle = load_bundle(remote, cache_root=tmp_path)
        assert self.kept(tmp_path) == {"model.onnx"}
        images = pixels(3)
        local = load_bundle(exported)
        np.testing.assert_array_equal(bundle.predict_pixels(images), local.predict_pixels(images))
        np.testing.assert_array_equal(bundle.predict_pixels(images, 1), local.predict_pixels(images, 1))
        assert bundle.members_unseen_by("a" * 64, "one") == (0,)
        assert self.kept(tmp_path) == {
            "model.onnx",
            "member-1.onnx",
            "model.safetensors",
            "training_images.json",
        }
        fsspec.filesystem("memory").rm(f"{remote}/model.onnx")
        again = load_bundle(remote, cache_root=tmp_path)
        np.testing.assert_array_equal(again.predict_pixels(images), local.predict_pixels(images))

    def test_a_damaged_copy_is_fetched_again(self, remote: str, tmp_path: Path) -> None:
        expected = load_bundle(remote, cache_root=tmp_path).predict_pixels(pixels(2))
        (kept,) = tmp_path.rglob("model.onnx")
        kept.write_bytes(kept.read_bytes()[:-1])
        np.testing.assert_array_equal(
            load_bundle(remote, cache_root=tmp_path).predict_pixels(pixels(2)), expected
        )

    def test_damage_in_the_store_is_never_kept(self, remote: str, tmp_path: Path) -> None:
        fsspec.filesystem("memory").pipe(f"{remote}/model.onnx", b"damaged")
        with pytest.raises(BundleError, match=r"memory://.*model\.onnx is damaged"):
            load_bundle(remote, cache_root=tmp_path)
        assert self.kept(tmp_path) == set()

    def test_a_missing_file_is_named(self, remote: str, tmp_path: Path) -> None:
        bundle = load_bundle(remote, cache_root=tmp_path)
        fsspec.filesystem("memory").rm(f"{remote}/member-0.onnx")
        with pytest.raises(BundleError, match=r"member-0\.onnx"):
            bundle.predict_pixels(pixels(1), 0)

    @staticmethod
    def kept(root: Path) -> set[str]:
        return {path.name for path in root.rglob("*") if path.is_file()}


def test_no_heavy_package_is_loaded_to_predict(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(as_png(pixels(1)[0]))
    program = f"""
import sys
from pathlib import Path
from tasks.models.bundle import Prediction, load_bundle
bundle = load_bundle({str(exported)!r})
said = bundle.predict_bytes([Path({str(tmp_path / "image.png")!r}).read_bytes()])
assert isinstance(said[0], Prediction)
bundle.members_unseen_by("a" * 64, "one")
heavy = {{"torch", "onnx", "pandas", "sklearn", "scipy", "prefect", "matplotlib", "pyarrow", "timm", "safetensors"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_loaded_bundle_knows_its_address(exported: Path) -> None:
    bundle = load_bundle(exported)
    assert isinstance(bundle, Bundle)
    assert bundle.uri == str(exported)
    assert bundle.manifest.files["model.onnx"] == sha256_of(exported / "model.onnx")
