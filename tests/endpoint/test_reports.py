"""A report opens for a person who shows the key, at any version; what is in it can do nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from support.services.live_endpoint import PRIMARY, Client, Live, live

from deployments.endpoint.settings import ServeSettings
from tasks.models.version_report import (
    ENDPOINT_URL,
    ENDPOINT_WORKSPACE,
    keep_report,
    read_report,
    report_address,
)
from tasks.stores.workspace import Workspace


def test_the_key_opens_it_by_version_and_alias(shared: Live) -> None:
    for query in ("", "?version=v1", "?name=slices&version=champion"):
        answer = shared.client.get(f"/report.html{query}")
        assert answer.status == 200
        assert b"Report of v1" in answer.body
        assert answer.headers["x-lightbox-model-version"] == "v1"
        assert answer.headers["cache-control"] == "no-store"


def test_without_the_key_nothing_is_told(shared: Live) -> None:
    answer = Client(shared.client.port, None).get("/report.html")
    assert answer.status == 401
    assert b"Report of" not in answer.body


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?version=v9", 404, "slices has no v9"),
        ("?name=other", 404, "other has no champion"),
        ("?name=..%2F..%2Fetc&version=v1", 404, "is no model name"),
        ("?version=../v1", 400, "version is v1, v2"),
    ],
)
def test_what_is_not_there_is_told(shared: Live, query: str, status: int, said: str) -> None:
    answer = shared.client.get(f"/report.html{query}")
    assert answer.status == status
    assert said in answer.json["error"]["message"]


def test_a_version_without_a_report_is_told_with_a_cure(settings: Callable[..., ServeSettings]) -> None:
    with live(settings()) as found:
        answer = found.client.get("/report.html?version=v2")
    assert answer.status == 404
    assert "lightbox retrain" in answer.json["error"]["message"]


@pytest.mark.slow
def test_a_person_opens_the_link_types_the_key_and_reads(browser: Any, shared: Live) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    host = f"http://127.0.0.1:{shared.client.port}"
    elsewhere: list[str] = []
    page.on(
        "response",
        lambda found: elsewhere.extend(() if found.url.startswith((host, "about:")) else {found.url}),
    )
    page.goto(f"{host}/report?name=slices&version=v1")
    page.fill("#key", "not-the-key-0123456789")
    page.click("#key-form button")
    page.locator("#key-hint", has_text="does not open").wait_for()
    page.fill("#key", PRIMARY)
    page.click("#key-form button")
    heading = page.frame_locator("#report").locator("h1")
    heading.wait_for()
    assert heading.inner_text() == "Report of v1"
    assert heading.evaluate("(found) => getComputedStyle(found).color") == "rgb(1, 2, 3)"
    assert page.title() == "Lightbox report: slices v1"
    assert elsewhere == []
    page.close()


def test_a_report_has_an_address_only_where_its_workspace_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert report_address("az://lightbox", "lungs", "v2") is None
    monkeypatch.setenv(ENDPOINT_URL, "http://127.0.0.1:8000/")
    monkeypatch.setenv(ENDPOINT_WORKSPACE, "az://lightbox")
    assert (
        report_address("az://lightbox", "lungs", "v2") == "http://127.0.0.1:8000/report?name=lungs&version=v2"
    )
    assert report_address("/data/other", "lungs", "v2") is None


def test_the_latest_judgement_of_a_version_is_what_is_read(settings: Callable[..., ServeSettings]) -> None:
    workspace = Workspace(settings().workspace)
    keep_report(workspace, "slices", "v1", b"first")
    keep_report(workspace, "slices", "v1", b"second")
    assert read_report(workspace, "slices", "champion") == ("v1", b"second")
