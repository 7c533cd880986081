"""The e-mail block sends through a real SMTP conversation."""

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy

import pytest
from pydantic import SecretStr, ValidationError

from tasks.server.blocks import Email


@pytest.fixture
def post_office() -> Iterator[tuple[int, list[bytes]]]:
    """A small SMTP server on loopback (RFC 5321): its port, and the messages that it was given."""
    received: list[bytes] = []

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                command = line[:4].upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    rows = iter(self.rfile.readline, b".\r\n")
                    received.append(b"".join(rows))
                self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], received
        server.shutdown()
        thread.join()


def test_a_message_arrives_and_its_subject_cannot_add_headers(post_office: tuple[int, list[bytes]]) -> None:
    port, received = post_office
    block = Email(
        host="127.0.0.1",
        port=port,
        security="none",
        sender="lightbox@example.org",
        recipients=["a@example.org", "b@example.org"],
    )
    asyncio.run(block.notify("Recall 0.9 – the old model v3 stays", "Low recall\r\nBcc: c@example.org"))
    message = message_from_bytes(received[0], policy=policy.default)
    assert message["Subject"] == "Low recall Bcc: c@example.org"
    assert message["Bcc"] is None
    assert message["To"] == "a@example.org, b@example.org"
    assert message.get_content().strip() == "Recall 0.9 – the old model v3 stays"


def test_a_password_is_never_sent_in_the_clear() -> None:
    with pytest.raises(ValidationError, match="without starttls or tls"):
        Email(host="h", security="none", user="u", password=SecretStr("p"), sender="a@b", recipients=["c@d"])
