"""`?explain=1`: an overlay of what spoke for the label."""

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from support.services.live_endpoint import Live, live, picture

from deployments.endpoint.overlay import SHOWN_PX
from deployments.endpoint.settings import ServeSettings
from tasks.models.bundle import Bundle
from tasks.models.overlay import evidence


def test_the_overlay_is_a_png_over_the_image_as_the_model_saw_it(shared: Live) -> None:
    (found,) = shared.client.predict(picture(), "?explain=1").json["predictions"]
    head, _, data = found["overlay"].partition(",")
    assert head == "data:image/png;base64"
    drawn = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (drawn.format, drawn.size, drawn.mode) == ("PNG", (SHOWN_PX, SHOWN_PX), "RGB")
    assert np.ptp(np.asarray(drawn)) > 50


def test_it_changes_nothing_else(shared: Live) -> None:
    plain = shared.client.predict(picture()).json["predictions"][0]
    explained = shared.client.predict(picture(), "?explain=1").json["predictions"][0]
    assert "overlay" not in plain
    assert {name: value for name, value in explained.items() if name != "overlay"} == plain
    assert shared.client.predict(picture(), "?explain=0").json["predictions"][0] == plain


@pytest.mark.parametrize("value", ["2", "yes", ""])
def test_another_value_is_refused(shared: Live, value: str) -> None:
    answer = shared.client.predict(picture(), f"?explain={value}")
    assert (answer.status, answer.error["field"]) == (400, "explain")


def test_a_bad_image_has_no_overlay(shared: Live) -> None:
    assert shared.client.predict(b"rubbish", "?explain=1").status == 400


def test_a_model_without_class_maps_says_null(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "class_maps", lambda self, pixels: None)
    with live(settings()) as found:
        (prediction,) = found.client.predict(picture(), "?explain=1").json["predictions"]
    assert prediction["overlay"] is None
    assert prediction["label"]


def test_evidence_is_where_the_class_leads() -> None:
    maps = np.zeros((2, 3, 3), np.float32)
    maps[1, 0, 2], maps[0, 2, 0] = 4.0, 9.0
    heat = evidence(maps, 1)
    assert heat[0, 2] == 1.0
    assert heat.sum() == 1.0
    assert evidence(np.zeros((2, 3, 3), np.float32), 0).max() == 0.0
    assert evidence(np.arange(27, dtype=np.float32).reshape(3, 3, 3), 0).max() == 0.0
