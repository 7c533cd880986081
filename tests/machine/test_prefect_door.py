"""The Prefect server of one machine opens to its own password only.

Not to another program, nor to a page of another origin that a person opens: either could run commands by the workers.
"""

import base64
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from support.services.prefect_server import free_port

from deployments.machine.machine import REPOSITORY, Machine
from deployments.machine.prefect_api import ask_prefect
from deployments.machine.secret_file import PREFECT_LOGIN
from deployments.machine.settings import read_settings
from tasks.server.blocks import Datastore
from tasks.server.work_pool import client

pytestmark = [pytest.mark.service, pytest.mark.slow]

START_SECONDS = 90.0
KEPT_SECRET = "the-account-key-of-the-store"
PARTS_WITHOUT_LOGIN = ("azurite", "endpoint", "label-studio", "watch")


@dataclass(frozen=True)
class Server:
    """The part `prefect` of a machine, with a deployment that could be run and a block that could be read."""

    machine: Machine
    deployment: str

    @property
    def api(self) -> str:
        """Its API."""
        return self.machine.api

    def runs(self) -> list[Any]:
        """All flow runs that it knows."""
        return list(ask_prefect(self.machine, "flow_runs/filter", {}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started as the supervisor starts it, with what the supervisor hands on."""
    folder = tmp_path_factory.mktemp("door")
    ports = [free_port() for _ in range(4)]
    names = ("prefect", "azurite", "endpoint", "label_studio")
    ports_said = ", ".join(f"{name}: {port}" for name, port in zip(names, ports, strict=True))
    (folder / "settings.yaml").write_text(f"ports: {{{ports_said}}}\n")
    machine = Machine(folder, read_settings(folder))
    (folder / "prefect").mkdir()
    log = folder / "prefect.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["infra/local/start", "prefect"],
            cwd=REPOSITORY,
            env=machine.whole_environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(machine, process, log)
        yield Server(machine, _something_to_steal(machine))
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(machine: Machine, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{machine.api}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail(f"the Prefect server does not answer:\n{log.read_text()[-2000:]}")


def _something_to_steal(machine: Machine) -> str:
    """A block with a secret, and a deployment; the latter's id."""
    login = machine.secrets[PREFECT_LOGIN]
    with temporary_settings({PREFECT_API_URL: machine.api, PREFECT_API_AUTH_STRING: login}):
        Secret(value=KEPT_SECRET).save("kept")
        Datastore.register_type_and_schema()
        with client() as server:
            flow = server.create_flow_from_name("retrain")
            return str(server.create_deployment(flow_id=flow, name="retrain-demo"))


@pytest.mark.parametrize("origin", [None, "own", "null", "https://evil.example"])
@pytest.mark.parametrize("host", [None, "evil.example", "localhost"])
@pytest.mark.parametrize(
    "kind", [None, "application/json", "text/plain", "application/x-www-form-urlencoded"]
)
def test_a_post_without_the_password_is_refused(
    server: Server, origin: str | None, host: str | None, kind: str | None
) -> None:
    own = f"http://127.0.0.1:{server.machine.settings.ports.prefect}"
    headers = {"Origin": own if origin == "own" else origin, "Host": host, "Content-Type": kind}
    sent = {name: value for name, value in headers.items() if value is not None}
    paths = ("flow_runs/filter", f"deployments/{server.deployment}/create_flow_run", "block_documents/filter")
    for path in paths:
        answer = httpx.post(f"{server.api}/{path}", content=b"{}", headers=sent, timeout=20)
        assert answer.status_code == 401, path
    assert server.runs() == []


@pytest.mark.parametrize("login", ["admin:", "admin:admin", "admin"])
def test_another_password_is_refused(server: Server, login: str) -> None:
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    assert httpx.post(f"{server.api}/flow_runs/filter", json={}, headers=headers).status_code == 401


def test_other_pages_may_not_read_what_it_answers(server: Server) -> None:
    own = f"http://127.0.0.1:{server.machine.settings.ports.prefect}"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in ((own, own), ("https://evil.example", None), ("null", None)):
        answer = httpx.options(f"{server.api}/flow_runs/filter", headers={"Origin": origin, **asked})
        assert answer.headers.get("access-control-allow-origin") == allowed


def test_the_machine_itself_and_its_commands_are_let_in(server: Server) -> None:
    assert server.runs() == []
    environment = server.machine.client_environment
    settings = {
        PREFECT_API_URL: environment["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: environment["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(settings), client() as prefect:
        assert [row.name for row in prefect.read_deployments()] == ["retrain-demo"]


def test_parts_that_do_not_ask_prefect_are_not_given_its_password(server: Server) -> None:
    start = (REPOSITORY / "infra" / "local" / "start").read_text()
    for part in PARTS_WITHOUT_LOGIN:
        script = start.replace("exec ", "env; exit 0; exec ")
        told = subprocess.run(
            ["bash", "-c", script, "start", part],
            cwd=REPOSITORY,
            env=server.machine.whole_environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "LIGHTBOX_HOME=" in told.stdout
        assert server.machine.secrets[PREFECT_LOGIN] not in told.stdout, part


ATTACK = """
async ([api, deployment]) => {
  const seen = {};
  const attempt = async (name, path, options) => {
    try {
      const answer = await fetch(`${api}/${path}`, {method: "POST", ...options});
      seen[name] = answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`;
    } catch (error) { seen[name] = String(error); }
  };
  const run = `deployments/${deployment}/create_flow_run`;
  const json = {headers: {"Content-Type": "application/json"}, body: "{}"};
  await attempt("run", run, json);
  await attempt("run of a blob", run, {mode: "no-cors", body: new Blob(["{}"])});
  await attempt("run of a text", run, {mode: "no-cors", body: "{}", credentials: "include"});
  await attempt("block", "block_documents/filter", {...json, body: '{"include_secrets": true}'});
  seen.socket = await new Promise(resolve => {
    const socket = new WebSocket(`${api.replace("http", "ws")}/events/in`, ["prefect"]);
    socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: ""}));
    socket.onmessage = message => { resolve(message.data); socket.close(); };
    socket.onclose = () => resolve("closed");
  });
  return seen;
}
"""


def test_a_page_of_another_origin_starts_no_run_and_reads_no_block(
    server: Server, browser: Any, another_origin: str
) -> None:
    page = browser.new_page()
    page.goto(another_origin)
    seen = page.evaluate(ATTACK, [server.api, server.deployment])
    page.close()
    assert KEPT_SECRET not in str(seen)
    assert "auth_success" not in seen["socket"]
    assert not [name for name, told in seen.items() if told.startswith("2")], seen
    assert server.runs() == []


@pytest.fixture
def pages(server: Server, browser: Any) -> Iterator[Any]:
    """Prefect's pages as the printed address opens them, logged in; what they ask of other hosts is a failure."""
    address = f"http://127.0.0.1:{server.machine.settings.ports.prefect}"
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    elsewhere: list[str] = []
    page.on(
        "response", lambda found: elsewhere.extend({found.url} if not _is_own(found.url, address) else ())
    )
    page.on(
        "requestfailed",
        lambda asked: elsewhere.extend(
            () if _is_barred(asked) or _is_own(asked.url, address) else {asked.url}
        ),
    )
    page.goto(address)
    page.wait_for_selector("input[type=password]")
    page.fill("input[type=password]", server.machine.secrets[PREFECT_LOGIN])
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard*")
    yield page
    page.close()
    assert elsewhere == []


def _is_barred(asked: Any) -> bool:
    """Whether the browser refused to ask, by the policy of the page."""
    return bool(asked.failure == "csp")


def _is_own(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def test_a_person_logs_in_by_the_password_and_nothing_is_asked_elsewhere(server: Server, pages: Any) -> None:
    address = f"http://127.0.0.1:{server.machine.settings.ports.prefect}"
    for path in (
        "dashboard",
        "runs",
        "flows",
        "deployments",
        "work-pools",
        "blocks",
        "automations",
        "variables",
    ):
        pages.goto(f"{address}/{path}")
        pages.wait_for_load_state("networkidle")
        assert "/v2/" not in pages.url
        assert "Upgrade" not in pages.inner_text("body"), path
    pages.goto(f"{address}/deployments")
    pages.wait_for_selector("text=retrain-demo")


def test_a_store_with_options_is_saved_whole_by_the_pages(server: Server, pages: Any) -> None:
    address = f"http://127.0.0.1:{server.machine.settings.ports.prefect}"
    pages.goto(f"{address}/blocks/catalog/lightbox-datastore/create")
    pages.wait_for_selector("text=Block Name")
    pages.locator("input").first.fill("scans")
    pages.locator("textarea").first.fill("az://scans/brain_mri")
    pages.locator("textarea").last.fill('{"account_name": "ward3", "account_key": "of the ward"}')
    pages.click("button:has-text('Create')")
    pages.wait_for_url("**/blocks/block/*")
    login = server.machine.secrets[PREFECT_LOGIN]

    def load() -> Any:
        with temporary_settings({PREFECT_API_URL: server.api, PREFECT_API_AUTH_STRING: login}):
            return Datastore.load("scans")

    with ThreadPoolExecutor(1) as apart:  # from the event loop that drives the browser
        saved = apart.submit(load).result()
    assert isinstance(saved, Datastore)
    assert saved.url == "az://scans/brain_mri"
    assert saved.options is not None
    assert saved.options.get_secret_value() == {"account_name": "ward3", "account_key": "of the ward"}
