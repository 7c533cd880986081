"""The report of a real run in a real browser: on a desktop, on a phone and on paper, without any request."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.runs.main_job import FinishedRun

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("width", "height"), [(1280, 1000), (390, 844)], ids=["desktop", "phone"])
def test_it_fits_the_screen_and_asks_for_nothing(
    browser: Any, finished: FinishedRun, width: int, height: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.on("console", lambda said: asked.append(said.text))
    page.goto(Path(finished.result["report"]).as_uri())
    assert set(asked) <= {"file", "data"} and asked.count("file") == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    missed = page.get_by_text(re.compile("would be missed")).first.bounding_box()
    served = page.get_by_text("What is served now").bounding_box()
    assert missed["y"] + missed["height"] < height and served["y"] < height, "on the first screen"
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    page.close()


def test_on_paper_the_first_page_stands_alone(browser: Any, finished: FinishedRun) -> None:
    page = browser.new_page()
    page.goto(Path(finished.result["report"]).as_uri())
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.eval_on_selector("header", "header => getComputedStyle(header).breakAfter") == "page"
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and 5 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 16
    page.close()
