"""A real browser, headless."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright import sync_api
from support.services.required_tools import absent

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium, as the system has it; meanwhile an event loop runs in this thread, and Prefect's calls cannot."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        absent("Chromium is missing: apt-get install -y chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests of a module."""
    with chromium() as found:
        yield found
