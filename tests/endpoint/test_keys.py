"""Keys: either opens, both can be replaced while the endpoint runs, none means this machine only."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.services.live_endpoint import PRIMARY, SECONDARY, Client, Live, live, picture

from deployments.endpoint import keys as module
from deployments.endpoint.keys import KeyRing, require_safe
from deployments.endpoint.settings import ServeSettings
from tasks.errors import ConfigError


def write(file: Path, *keys: str) -> None:
    names = ("LIGHTBOX_PRIMARY_KEY", "LIGHTBOX_SECONDARY_KEY")
    text = "# keys\n" + "".join(f"{name}={key}\n" for name, key in zip(names, keys, strict=False))
    temporary = file.with_suffix(".new")
    temporary.write_text(text)
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


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyRing(tmp_path / "missing")
    (tmp_path / "empty").write_text("")
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
