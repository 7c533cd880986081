"""A real Label Studio on loopback with two people, and brain MRI images whose labels are hidden."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.repository import REPOSITORY
from support.services.prefect_server import free_port
from support.services.required_tools import absent

INFRA = REPOSITORY / "infra" / "label_studio"
START_SECONDS = 150
OWNER, OTHER, PASSWORD = "owner@example.org", "other@example.org", "not-a-secret-1"
TOKEN = "0123456789abcdef0123456789abcdef01234567"


class Person:
    """Somebody at Label Studio, logged in as a browser is."""

    def __init__(self, url: str, email: str, signup: str | None = None) -> None:
        self.email = email
        self._http = httpx.Client(base_url=url, timeout=60, follow_redirects=True)
        page = signup or "/user/login/"
        self._http.get(page)
        form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": self._http.cookies["csrftoken"]}
        self._http.post(page, data=form, headers={"Referer": url}).raise_for_status()
        assert self.ask("GET", "/api/current-user/whoami")["email"] == email

    def leave(self) -> None:
        """Close the browser."""
        self._http.close()

    def ask(self, method: str, path: str, **content: Any) -> Any:
        """The answer's JSON."""
        headers = {"X-CSRFToken": self._http.cookies["csrftoken"], "Referer": str(self._http.base_url)}
        answer = self._http.request(method, path, headers=headers, **content)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All tasks, in the order in which they are asked."""
        found = self.ask("GET", "/api/tasks/", params={"project": project, "fields": "all", "page_size": 500})
        return sorted(found["tasks"], key=lambda task: task["id"])

    def answer(self, task: int, label: str | None) -> None:
        """Press a class's button and submit; None skips."""
        result = [
            {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        ]
        body = {"result": result if label else [], "was_cancelled": label is None, "lead_time": 2.5}
        self.ask("POST", f"/api/tasks/{task}/annotations/", json=body)


@dataclass(frozen=True)
class LabelStudioServer:
    """A running Label Studio."""

    url: str
    owner: Person
    other: Person

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to reach it."""
        return {"LIGHTBOX_LABEL_STUDIO_URL": self.url, "LIGHTBOX_LABEL_STUDIO_TOKEN": TOKEN}


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """The server, started as its start script starts it."""
    version = re.findall(r"label-studio==(.+)", (INFRA / "requirements.in").read_text())[0]
    default = Path.home() / ".cache" / "lightbox" / f"label-studio-{version}"
    home = Path(os.environ.get("LIGHTBOX_LABEL_STUDIO") or default)
    if not (home / "bin" / "label-studio").exists():
        absent("Label Studio is not installed: infra/label_studio/install")
    folder, port = tmp_path_factory.mktemp("label-studio"), free_port()
    environment = {
        **os.environ,
        "LABEL_STUDIO_USERNAME": OWNER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [str(INFRA / "start"), str(folder / "data"), str(port)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, server, folder / "server.log")
        owner = Person(url, OWNER)
        other = Person(url, OTHER, owner.ask("GET", "/api/invite")["invite_url"])
        yield LabelStudioServer(url, owner, other)
        owner.leave()
        other.leave()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail(f"Label Studio did not start within {START_SECONDS} s:\n{log.read_text()[-3000:]}")


@dataclass(frozen=True)
class HiddenLabels:
    """Images in one folder, under names that say nothing; `truth` has each content's label."""

    folder: Path
    truth: Mapping[str, str]


@pytest.fixture(scope="session")
def hide(brain_mri: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], HiddenLabels]:
    """Makes a folder with so many real images, all different, chosen evenly from both classes."""

    def hidden(count: int) -> HiddenLabels:
        folder = tmp_path_factory.mktemp("hidden")
        truth: dict[str, str] = {}
        by_class = [sorted((brain_mri / label).iterdir()) for label in ("no", "yes")]
        for files in by_class:
            random.Random(0).shuffle(files)
        for file in (file for pair in zip(*by_class, strict=False) for file in pair):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest not in truth and len(truth) < count:
                shutil.copy(file, folder / f"{len(truth):03d}{file.suffix}")
                truth[digest] = file.parent.name
        assert len(truth) == count
        return HiddenLabels(folder, truth)

    return hidden
