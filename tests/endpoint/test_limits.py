"""What comes in is bounded, and each bound says its name."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from pydantic import ValidationError
from support.services.live_endpoint import PRIMARY, Live, live, picture

from deployments.endpoint.served_model import ServedModel
from deployments.endpoint.settings import Limits, ServeSettings
from tasks.images.decode import Decoded

Settings = Callable[..., ServeSettings]
MIB = 1 << 20


def test_a_large_body_is_413(settings: Settings) -> None:
    with live(settings(limits=Limits(max_body_mib=1))) as found:
        assert found.client.predict(b"x" * MIB).status == 400
        declared = found.client.predict(b"x" * (MIB + 1))
        assert (declared.status, declared.error["limit"]) == (413, MIB)
        assert "max_body_mib=1" in declared.error["message"]
        assert found.client.predict(b"x" * (3 * MIB)).status == 413
        waits = found.client.predict(
            b"x" * 3, headers={"Content-Length": str(2 * MIB), "Expect": "100-continue"}
        )
        assert waits.status == 413
        far_above = found.client.predict(b"", headers={"Content-Length": str(9 * MIB)})
        assert (far_above.status, far_above.headers["connection"]) == (413, "close")


def test_a_large_body_of_unknown_length_is_413(settings: Settings) -> None:
    with (
        live(settings(limits=Limits(max_body_mib=1))) as found,
        socket.create_connection(("127.0.0.1", found.client.port), timeout=20) as connection,
    ):
        connection.sendall(
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {PRIMARY}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        try:
            for _ in range(80):
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass  # the endpoint has hung up on us, as it should
        assert connection.recv(20).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_come_is_408(settings: Settings) -> None:
    with live(settings(limits=Limits(body_seconds=0.2))) as found:
        with socket.create_connection(("127.0.0.1", found.client.port), timeout=20) as connection:
            connection.sendall(
                f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {PRIMARY}\r\n"
                "Content-Length: 100\r\n\r\nabc".encode()
            )
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert found.client.predict(picture()).status == 200


def test_a_client_that_leaves_harms_nothing(settings: Settings) -> None:
    with live(settings(limits=Limits(max_requests=2))) as found:
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", found.client.port), timeout=20) as connection:
                connection.sendall(
                    f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {PRIMARY}\r\n"
                    "Content-Length: 100\r\n\r\nabc".encode()
                )
                time.sleep(0.02)
        time.sleep(0.2)
        assert found.client.predict(picture()).status == 200


def test_too_many_pixels_are_refused_before_decoding(settings: Settings) -> None:
    with live(settings(limits=Limits(max_pixels=10_000))) as found:
        assert found.client.predict(picture(size=(100, 100))).status == 200
        answer = found.client.predict(picture(size=(101, 100)))
        assert (answer.status, answer.error["code"]) == (400, "decompression_bomb")
        assert "max_pixels=10000" in answer.error["message"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until set, every image waits in its judge: a slow model."""
    event = threading.Event()
    original = ServedModel.decoded

    def slow(self: ServedModel, data: bytes) -> AbstractContextManager[Decoded]:
        event.wait(30)
        return original(self, data)

    monkeypatch.setattr(ServedModel, "decoded", slow)
    event.set()
    return event


def test_an_endpoint_whose_judges_are_all_stuck_is_not_ready(
    settings: Settings, held: threading.Event
) -> None:
    with live(settings(limits=Limits(answer_seconds=0.3))) as found:
        assert found.client.get("/health/ready").status == 200
        held.clear()
        for _ in range(2):
            late = found.client.predict(picture())
            assert (late.status, late.error["code"]) == (503, "time_out")
            assert late.headers["retry-after"]
        while not found.endpoint.judges.is_stuck:
            time.sleep(0.01)
        ready = found.client.get("/health/ready")
        assert (ready.status, ready.json) == (503, {"status": "busy"})
        assert ready.headers["retry-after"]
        assert found.client.get("/health/live").status == 200
        held.set()
        assert found.client.predict(picture()).status == 200
        assert found.client.get("/health/ready").status == 200


def test_one_judge_that_is_stuck_leaves_the_endpoint_ready(settings: Settings, held: threading.Event) -> None:
    with live(settings(limits=Limits(answer_seconds=0.3))) as found:
        held.clear()
        assert found.client.predict(picture()).status == 503
        held.set()
        for _ in range(8):
            assert found.client.predict(picture()).status == 200
            assert not found.endpoint.judges.is_stuck


def test_a_full_queue_is_429_with_when_to_come_again(settings: Settings, held: threading.Event) -> None:
    with live(settings(limits=Limits(max_queue=3, max_rows=3))) as found:
        held.clear()
        statuses: list[int] = []
        clients = [
            threading.Thread(target=lambda: statuses.append(found.client.predict(picture()).status))
            for _ in range(3)
        ]
        for client in clients:
            client.start()
        while found.endpoint.gate.queued < 3:
            time.sleep(0.01)
        refused = found.client.predict(picture())
        assert (refused.status, refused.error["limit"]) == (429, 3)
        assert int(refused.headers["retry-after"]) >= 1
        assert found.client.get("/health/ready").status == 200
        assert b"lightbox_endpoint_queue_images 3.0" in found.client.get("/metrics").body
        held.set()
        for client in clients:
            client.join()
        assert statuses == [200] * 3
        assert found.client.predict(picture()).status == 200


def test_too_many_requests_in_hand_are_429(settings: Settings, held: threading.Event) -> None:
    with live(settings(limits=Limits(max_requests=1))) as found:
        held.clear()
        first = threading.Thread(target=lambda: found.client.predict(picture()))
        first.start()
        while not found.endpoint.gate.queued:
            time.sleep(0.01)
        assert found.client.predict(picture()).status == 429
        held.set()
        first.join()
        assert found.client.predict(picture()).status == 200


def test_no_answer_in_time_is_503_and_frees_the_queue(settings: Settings, held: threading.Event) -> None:
    with live(settings(threads=1, limits=Limits(answer_seconds=0.2))) as found:
        held.clear()
        body = {"input_data": {"columns": ["image"], "data": ["AAAA"] * 5}}
        answer = found.client.score(body)
        assert (answer.status, answer.error["code"]) == (503, "time_out")
        assert "retry-after" in answer.headers
        while found.endpoint.gate.queued > 1:  # those that waited are dropped, the one at work is not
            time.sleep(0.01)
        held.set()
        while found.endpoint.gate.queued:
            time.sleep(0.01)
        assert found.client.predict(picture()).status == 200


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_rows=8 is more than max_queue=4"):
        Limits(max_rows=8, max_queue=4)


def test_unknown_paths_and_methods_are_json(shared: Live) -> None:
    missing, wrong = shared.client.get("/nope"), shared.client.get("/score")
    assert (missing.status, missing.error["code"]) == (404, "no_such_path")
    assert (wrong.status, wrong.error["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")
