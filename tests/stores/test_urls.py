"""URLs with secrets are refused where they would be kept, and no message repeats one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from deployments.endpoint.settings import ServeSettings
from flows.config import WorkspaceLocation
from tasks.data.label_table import read_manifest
from tasks.data.settings import ImagesSource
from tasks.errors import LightboxError
from tasks.stores.datastore import Datastore
from tasks.stores.urls import NO_SECRET, holds_secret
from tasks.tracking.settings import TrackingSettings
from tasks.training.recipes import WeightsChoice
from tasks.training.weights import build

SECRET = "tHe/Sig+nature0123456789="
WITH_SECRETS = [
    f"az://scans/brain?sv=2024-01-01&sig={SECRET}",
    f"https://mine.blob.core.windows.net/scans/labels.csv?sig={SECRET}",
    f"https://example.org/labels.csv?a=1&token={SECRET}",
    f"s3://scans/a?X-Amz-Signature={SECRET}",
    "https://reader:tHe-Sig-nature0123456789=@example.org/scans",
]
WITHOUT = [
    "az://scans/brain",
    "abfss://scans@mine.dfs.core.windows.net/brain",
    "/data/scans of 2024/sig=none",
    "C:/scans",
    "s3://scans/a#b",
    "https://example.org/labels.csv?version=3",
    "ws",
    "auto",
]
FORMS: list[tuple[type[BaseModel], dict[str, str], str]] = [
    (ImagesSource, {}, "url"),
    (ImagesSource, {"url": "az://scans"}, "manifest"),
    (WorkspaceLocation, {}, "url"),
    (WeightsChoice, {}, "source"),
    (TrackingSettings, {}, "uri"),
    (ServeSettings, {"name": "slices"}, "workspace"),
]


@pytest.mark.parametrize(("form", "given_", "field"), FORMS)
def test_a_form_takes_no_secret_and_does_not_repeat_it(
    form: type[BaseModel], given_: dict[str, str], field: str
) -> None:
    for url in WITH_SECRETS:
        with pytest.raises(ValidationError) as caught:
            form.model_validate({**given_, field: url})
        assert "credentials" in str(caught.value)
        assert "Sig" not in str(caught.value) and "0123456789" not in str(caught.value)
    for url in WITHOUT:
        assert getattr(form.model_validate({**given_, field: url}), field) == url


def test_a_server_refuses_it_by_the_form_s_schema_before_it_is_kept() -> None:
    for url in WITH_SECRETS:
        assert holds_secret(url) and not re.search(NO_SECRET, url)
    for url in WITHOUT:
        assert re.search(NO_SECRET, url)
    schema = ImagesSource.model_json_schema()["properties"]
    assert schema["url"]["pattern"] == NO_SECRET
    assert schema["manifest"]["anyOf"][0]["pattern"] == NO_SECRET


@given(st.sampled_from(WITH_SECRETS), st.text(max_size=20), st.text(max_size=20))
def test_no_error_of_ours_repeats_it(url: str, before: str, after: str) -> None:
    error = LightboxError(f"{before} {url} {after}", cure=f"not {url}")
    for text in (str(error), error.message, error.cure, repr(error), str(error.args)):
        assert SECRET not in text and "reader:" not in text


def test_what_is_read_below_a_url_with_a_secret_is_told_without_it() -> None:
    url = f"memory://images/labels.csv?sig={SECRET}"
    folder, _, name = url.rpartition("/images/")
    for call in (
        lambda: Datastore(url),
        lambda: Datastore(f"{folder}/images").read(name),
        lambda: read_manifest(Datastore("memory://images"), [], url),
        lambda: build(
            "efficientnet_lite0", 2, WeightsChoice.model_construct(source=f"{url}.pth", offline=True)
        ),
    ):
        with pytest.raises(LightboxError) as caught:
            call()
        assert "***" in str(caught.value) or "credentials" in str(caught.value)
        assert "Sig" not in str(caught.value) and "0123456789" not in str(caught.value)
