"""A supervisord on this machine, over its unix socket: its methods are those of https://supervisord.org/api.html."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport


@contextmanager
def supervisord_at(socket: Path) -> Iterator[Any]:
    """Its methods, by a connection of one's own.

    Raises: OSError where nothing listens; xmlrpc.client.Error for what it refuses.
    """
    transport = SupervisorTransport(None, None, f"unix://{socket}")
    try:
        # The address is not used: the transport speaks to the socket.
        yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
    finally:
        transport.close()


@contextmanager
def ignoring(fault_code: int) -> Iterator[None]:
    """What another process did a moment before is as well."""
    try:
        yield
    except Fault as fault:
        if fault.faultCode != fault_code:
            raise
