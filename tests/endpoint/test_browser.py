"""The test page in a real browser, without a network: drop an image, read the label, see the overlay."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.samples.endpoint_bundles import publish
from support.services.live_endpoint import PRIMARY, Live, live, picture

from deployments.endpoint.settings import ServeSettings

pytestmark = pytest.mark.slow

DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""


@pytest.fixture(params=[(1280, 860), (390, 844)], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, shared: Live) -> Iterator[Any]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    found = context.new_page()
    found.set_default_timeout(15_000)
    host = f"http://127.0.0.1:{shared.client.port}"
    problems: list[str] = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("request", lambda asked: problems.append(asked.url) if _elsewhere(asked.url, host) else None)
    found.on("console", lambda said: problems.append(said.text) if "Security Policy" in said.text else None)
    found.goto(host)
    yield found
    context.close()
    assert problems == []


def _elsewhere(url: str, host: str) -> bool:
    return not url.startswith((host, "blob:", "data:"))


def give_key(page: Any) -> None:
    page.fill("#key", PRIMARY)
    page.click("#key-form button")
    page.wait_for_selector("#model-card", state="visible")


def drop(page: Any, name: str, data: bytes) -> None:
    page.evaluate(DROP, [name, base64.b64encode(data).decode()])


def test_an_image_dropped_is_judged_and_explained(page: Any, shared: Live, tmp_path: Path) -> None:
    expected = shared.client.predict(picture()).json["predictions"][0]
    give_key(page)
    drop(page, "slice.png", picture())
    page.wait_for_selector("#answer", state="visible")
    text = page.inner_text("#result")
    assert page.inner_text("#label") == expected["label"]
    for probability in expected["probabilities"].values():
        assert f"{100 * probability:.1f} %" in text
    assert "named at or above 40.0 %" in text
    page.click("#show-overlay")
    size = page.eval_on_selector(
        "#picture", "async (i) => { await i.decode(); return [i.naturalWidth, i.src.slice(0, 14)]; }"
    )
    assert size == [448, "data:image/png"]
    card = page.inner_text("#model-card")
    assert "v1" in card
    assert "0.940" in card
    assert "0.900 to 0.970" in card
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_file_that_is_no_image_is_told_in_words(page: Any) -> None:
    give_key(page)
    drop(page, "<img src=x onerror=alert(1)>.png", b"<svg onload=alert(1)>")
    page.wait_for_selector("#problem", state="visible")
    assert "cannot be used" in page.inner_text("#problem")
    drop(page, "slice.png", picture())
    page.wait_for_selector("#answer", state="visible")
    assert page.is_hidden("#problem")


def test_a_wrong_key_is_told(page: Any) -> None:
    page.fill("#key", "not-the-key-0123456789")
    page.click("#key-form button")
    page.locator("#key-hint", has_text="does not open").wait_for()
    assert page.is_visible("#key-form")


def test_an_image_without_a_key_is_refused_in_words_for_people(page: Any) -> None:
    drop(page, "slice.png", picture())
    page.wait_for_selector("#problem", state="visible")
    said = page.inner_text("#problem")
    assert "asks for a key" in said
    assert "header" not in said
    assert page.is_visible("#key-form")


def test_without_a_model_the_page_says_so_and_shows_the_first_one_by_itself(
    browser: Any, tmp_path: Path, bundles: list[Path], settings: Callable[..., ServeSettings]
) -> None:
    root = tmp_path / "empty"
    waiting = settings(workspace=str(root), wait_for_champion=True, poll_seconds=0.1)
    with live(waiting) as found:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{found.client.port}")
        page.fill("#key", PRIMARY)
        page.click("#key-form button")
        page.wait_for_selector("#no-model", state="visible")
        said = page.inner_text("#no-model")
        assert "No model is served yet" in said
        assert "lightbox retrain" in said
        page.locator("#no-model", has_text="no champion of 'slices'").wait_for()
        drop(page, "slice.png", picture())
        page.wait_for_selector("#problem", state="visible")
        assert page.inner_text("#problem") == "No model is served yet, so that no image can be judged."
        publish(root, bundles[:1])
        page.wait_for_selector("#model-card", state="visible")
        assert page.is_hidden("#no-model")
        page.close()


def test_consume_and_docs_can_be_read(page: Any, shared: Live) -> None:
    page.click("#tab-consume")
    text = page.inner_text("#panel-consume")
    assert f"http://127.0.0.1:{shared.client.port}/score" in text
    assert "curl" in text
    assert PRIMARY not in page.content()
    page.click("text=Docs")
    page.wait_for_selector(".operation")
    for path in ("/score", "/predict", "/health/ready", "/metrics"):
        assert path in page.inner_text("#operations")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


ASK = """async ([url, data]) => {
  const seen = [];
  for (const mode of ["cors", "no-cors"]) {
    try {
      const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
      const answer = await fetch(`${url}/predict`, { method: "POST", mode, body: new Blob([bytes]) });
      seen.push(await answer.text());
    } catch (error) { seen.push(String(error)); }
  }
  return seen;
}"""


def test_a_page_of_another_origin_gets_no_judgement(
    browser: Any, another_origin: str, settings: Callable[..., ServeSettings]
) -> None:
    image = base64.b64encode(picture()).decode()
    with live(settings(), keys={}) as found:
        url = f"http://127.0.0.1:{found.client.port}"
        page = browser.new_page()
        page.goto(another_origin)
        seen = page.evaluate(ASK, [url, image])
        page.goto(url)
        own = page.evaluate(ASK, [url, image])
        page.close()
        judged = found.client.get("/metrics").body.decode()
    assert "probabilities" not in str(seen)
    assert "probabilities" in own[0]
    assert 'images_total{deployment="champion"' in judged
    total = [float(row.rpartition(" ")[2]) for row in judged.splitlines() if "_images_total{" in row]
    assert sum(total) == 2, "its own page's two"
