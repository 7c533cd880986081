"""Keys: either opens, both can be replaced while the endpoint runs, none means this machine only."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from support.services.live_endpoint import PRIMARY, SECONDARY, Client, Live, live, picture

from deployments.endpoint import keys as module
from deployments.endpoint.keys import ANYONE, KeyRing, require_safe
from deployments.endpoint.refused_keys import FREE, WITHIN_SECONDS, RefusedKeys
from deployments.endpoint.settings import LogSettings, ServeSettings
from tasks.errors import ConfigError


def write(file: Path, *keys: str) -> None:
    names = ("LIGHTBOX_PRIMARY_KEY", "LIGHTBOX_SECONDARY_KEY")
    text = "# keys\n" + "".join(f"{name}={key}\n" for name, key in zip(names, keys, strict=False))
    temporary = file.with_suffix(".new")
    temporary.write_text(text)
    temporary.chmod(0o600)
    temporary.replace(file)


def test_keys_of_a_file_are_replaced_without_a_restart(
    settings: Callable[..., ServeSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    file = tmp_path / "keys"
    write(file, PRIMARY, SECONDARY)
    new = "another-key-0123456789"
    with live(settings(key_file=file)) as found:

        def status(key: str) -> int:
            return Client(found.client.port, key).predict(picture()).status

        assert [status(PRIMARY), status(SECONDARY), status(new)] == [200, 200, 401]
        write(file, new, SECONDARY)
        assert [status(PRIMARY), status(SECONDARY), status(new)] == [401, 200, 200]
        file.write_text("LIGHTBOX_PRIMARY_KEY=")
        assert [status(SECONDARY), status(new)] == [200, 200]
        file.unlink()
        assert [status(SECONDARY), status(new)] == [200, 200]
        write(file, PRIMARY, SECONDARY)
        file.chmod(0o644)
        write_time = file.stat().st_mtime_ns + 1
        os.utime(file, ns=(write_time, write_time))
        assert [status(PRIMARY), status(new)] == [401, 200]  # not while others may read it
        file.chmod(0o640)  # as a secret that Kubernetes mounts
        assert [status(PRIMARY), status(new)] == [200, 401]


def test_without_a_key_only_names_of_this_machine_are_answered(
    settings: Callable[..., ServeSettings],
) -> None:
    with live(settings(), keys={}) as found:
        assert found.client.predict(picture()).status == 200
        port = found.client.port
        for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]", f"[::1]:{port}"):
            assert found.client.get("/health/ready", Host=host).status == 200, host
        for host in (
            "example.org",
            f"evil.localhost.example:{port}",
            "",
            "10.0.0.1",
            "[::2]",
            "127.0.0.1.nip.io",
        ):
            assert found.client.get("/health/ready", Host=host).status == 403, host


OWN = {"Origin": "http://{host}"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}
FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://{host}.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},  # another port of this machine
)


def test_without_a_key_nothing_is_judged_for_a_page_of_another_origin(
    settings: Callable[..., ServeSettings],
) -> None:
    with live(settings(), keys={}) as found:
        for host in (f"localhost:{found.client.port}", f"127.0.0.1:{found.client.port}"):
            for headers, status in [*((one, 200) for one in OWN), *((one, 403) for one in FOREIGN)]:
                sent = {"Host": host, **{name: value.format(host=host) for name, value in headers.items()}}
                answer = found.client.predict(picture(), headers=sent)
                assert answer.status == status, sent
                if status == 403:
                    assert answer.error["code"] == "origin"
                    assert found.client.score({}, sent).error["code"] == "origin"
                assert found.client.get("/", **sent).status == 200, "a link may lead here"


def test_what_is_missing_is_told_in_full_only_to_those_who_show_a_key(
    settings: Callable[..., ServeSettings], tmp_path: Path
) -> None:
    given = settings(workspace=str(tmp_path / "patients of ward 3"), wait_for_champion=True)
    with live(given) as found:
        stranger = Client(found.client.port, None).get("/health/ready")
        assert stranger.json == {"status": "waiting", "reason": "no champion"}
        assert "ward 3" in found.client.get("/health/ready").json["reason"]


def test_names_of_classes_are_told_only_to_those_who_show_a_key(shared: Live) -> None:
    assert b'"yes"' in shared.client.get("/openapi.json").body
    assert b'"yes"' not in Client(shared.client.port, None).get("/openapi.json").body


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/swagger.json", "/health/live", "/health/ready"]
)
def test_what_needs_no_key(shared: Live, path: str) -> None:

    assert Client(shared.client.port, None).get(path).status == 200


@pytest.mark.parametrize("path", ["/model", "/metrics"])
def test_what_needs_a_key(shared: Live, path: str) -> None:

    assert Client(shared.client.port, None).get(path).status == 401
    assert shared.client.get(path).status == 200


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="fewer than 16"):
        KeyRing(None, {"LIGHTBOX_PRIMARY_KEY": "short"})


@pytest.mark.parametrize("key", ["a" * 16, "ab" * 20, "abcdefgh" * 2, "1" * 8 + "0" * 9])
def test_a_key_that_is_easily_guessed_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="repeats itself"):
        KeyRing(None, {"LIGHTBOX_SECONDARY_KEY": key})
    KeyRing(None, {"LIGHTBOX_SECONDARY_KEY": secrets.token_hex(16)})


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    write(tmp_path / "keys", PRIMARY)
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(ConfigError, match="every user of this machine") as caught:
        KeyRing(tmp_path / "keys")
    assert caught.value.cure == f"chmod o= {tmp_path / 'keys'}"


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyRing(tmp_path / "missing")
    (tmp_path / "empty").touch(0o600)
    with pytest.raises(ConfigError, match="holds no key"):
        KeyRing(tmp_path / "empty")


def test_without_a_key_other_machines_cannot_be_served() -> None:
    with pytest.raises(ConfigError, match="no key is set"):
        require_safe(KeyRing(None, {}), loopback=False, host="0.0.0.0")
    require_safe(KeyRing(None, {}), loopback=True, host="127.0.0.1")
    require_safe(KeyRing(None, {"LIGHTBOX_PRIMARY_KEY": PRIMARY}), loopback=False, host="0.0.0.0")


@pytest.mark.parametrize(
    ("host", "loopback"), [("localhost", True), ("::1", True), ("0.0.0.0", False), ("db", False)]
)
def test_which_hosts_are_loopback(host: str, loopback: bool) -> None:
    assert ServeSettings(workspace="w", name="n", host=host).is_loopback is loopback


def test_no_key_is_kept_in_readable_form() -> None:
    ring = KeyRing(None, {"LIGHTBOX_PRIMARY_KEY": PRIMARY})
    assert PRIMARY not in str(vars(ring))


NAMED = {
    "LIGHTBOX_PRIMARY_KEY": PRIMARY,
    "LIGHTBOX_KEY_PACS": "pacs-key-0123456789",
    "LIGHTBOX_KEY_WATCH": "watch-key-0123456789",
    "LIGHTBOX_SCOPES_WATCH": "metrics",
}


def test_a_named_key_says_who_asks_and_opens_its_scopes() -> None:
    ring = KeyRing(None, NAMED)
    found = {key: ring.caller(f"Bearer {NAMED[f'LIGHTBOX_{key}']}") for key in ("KEY_PACS", "KEY_WATCH")}
    told = {one.name: one.scopes for one in found.values() if one}
    assert told == {"pacs": {"predict", "model"}, "watch": {"metrics"}}
    primary = ring.caller(f"bearer {PRIMARY}")
    assert primary is not None and (primary.name, len(primary.scopes)) == ("primary", 3)
    assert ring.caller("Bearer another") is None
    assert ring.caller(None) is None
    assert KeyRing(None, {}).caller(None) is ANYONE


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"LIGHTBOX_SCOPES_PACS": "predict, everything"}, "no scope"),
        ({"LIGHTBOX_SCOPES_PACS": " "}, "no scope"),
        ({"LIGHTBOX_KEY_OTHER": PRIMARY}, "another one's key"),
        ({"LIGHTBOX_KEY_OTHER": "short"}, "fewer than 16"),
    ],
)
def test_a_slip_in_named_keys_is_refused(more: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        KeyRing(None, {**NAMED, **more})


def test_who_asked_stands_in_the_log_and_in_the_metrics(
    settings: Callable[..., ServeSettings], caplog: pytest.LogCaptureFixture
) -> None:
    with live(settings(log=LogSettings()), keys=NAMED) as found:
        port = found.client.port
        pacs, watch = (Client(port, NAMED[f"LIGHTBOX_KEY_{name}"]) for name in ("PACS", "WATCH"))
        assert pacs.predict(picture(), headers={"X-Correlation-Id": "study-7"}).status == 200
        assert pacs.predict(picture(), headers={"X-Correlation-Id": "x" * 500}).status == 200
        assert watch.predict(picture()).status == 403
        assert pacs.ask("GET", "/metrics").status == 403
        metrics = watch.ask("GET", "/metrics")
        assert metrics.status == 200
        assert b'lightbox_endpoint_client_requests_total{client="pacs"} 3.0' in metrics.body
        log = found.endpoint.champion.cache_folder / "log"
        assert found.endpoint.log is not None
        found.endpoint.log._write_waiting()
        [file] = log.glob("*.open")
        rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [(row["client"], row["correlation_id"]) for row in rows] == [("pacs", "study-7"), ("pacs", None)]
    assert "the key of watch was refused for /predict" in caplog.text


def test_repeated_refusals_are_told_and_wait(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    refused = RefusedKeys(lambda: now[0])
    waits = [refused.add("10.0.0.9", "/predict") for _ in range(FREE + 2)]
    assert waits == [None] * FREE + [WITHIN_SECONDS] * 2
    assert refused.add("10.0.0.8", "/predict") is None
    now[0] = WITHIN_SECONDS + 1
    assert refused.add("10.0.0.9", "/predict") is None
    for number in range(5000):
        refused.add(f"10.1.{number // 256}.{number % 256}", "/")
    assert len(refused._counts) <= 1024, "bounded, however many addresses ask"
    assert caplog.text.count("address 10.0.0.9") == 5, (
        "the first, second, fourth, eighth, and the first again"
    )


def test_a_right_key_never_waits_for_wrong_ones(settings: Callable[..., ServeSettings]) -> None:
    with live(settings()) as found:
        stranger = Client(found.client.port, "wrong-key-0123456789")
        answers = [stranger.ask("GET", "/model") for _ in range(FREE + 1)]
        assert [one.status for one in answers] == [401] * FREE + [429]
        assert found.client.ask("GET", "/model").status == 200


def test_who_shows_no_key_guesses_nothing_and_does_not_wait(settings: Callable[..., ServeSettings]) -> None:
    with live(settings()) as found:
        page = Client(found.client.port, None)
        assert {page.ask("GET", "/model").status for _ in range(FREE + 2)} == {401}
        assert Client(found.client.port, "wrong-key-0123456789").ask("GET", "/model").status == 401
