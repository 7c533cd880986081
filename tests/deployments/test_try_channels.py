"""A test message goes to everybody who is named, and what does not take it is told by name."""

from collections.abc import Callable

import pytest
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block

from deployments.registered import Channel
from deployments.try_channels import SUBJECT, TEXT, send_test_messages
from tasks.errors import ConfigError

sent: list[tuple[str, str, str | None]] = []


class Synchronous(NotificationBlock):
    """Takes messages at once."""

    def notify(self, body: str, subject: str | None = None) -> None:  # type: ignore[override]
        sent.append(("synchronous", body, subject))


class Asynchronous(NotificationBlock):
    """As Prefect's own and the e-mail block do."""

    async def notify(self, body: str, subject: str | None = None) -> None:
        sent.append(("asynchronous", body, subject))


class Broken(NotificationBlock):
    """A webhook that is gone."""

    async def notify(self, body: str, subject: str | None = None) -> None:
        raise ConnectionError(f"no such host for {subject}, {len(body)} characters")


BLOCKS: dict[str, Callable[[], NotificationBlock]] = {
    "slack-webhook/ward": Synchronous,
    "lightbox-email/ward": Asynchronous,
    "ms-teams-webhook/gone": Broken,
}


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sent.clear()
    monkeypatch.setattr(Block, "load", lambda name: BLOCKS[name]())


def test_everybody_is_sent_one(blocks: None) -> None:
    send_test_messages([Channel(kind="slack", block="ward"), Channel(kind="email", block="ward")])
    assert sent == [("synchronous", TEXT, SUBJECT), ("asynchronous", TEXT, SUBJECT)]


def test_who_takes_no_message_is_named_with_what_it_said(blocks: None) -> None:
    with pytest.raises(
        ConfigError, match=r"'gone' of teams-gone took no message: ConnectionError: no such host for Lightbox"
    ):
        send_test_messages([Channel(kind="teams", block="gone")])


def test_nobody_named_is_told() -> None:
    with pytest.raises(ConfigError, match="nobody to send"):
        send_test_messages([])
