"""The Prefect server of a machine, over its HTTP interface: the parts that ask it start without importing Prefect."""

import base64
from typing import Any, Final

import httpx

from deployments.machine.machine import Machine
from deployments.machine.secret_file import PREFECT_LOGIN

ANSWER_SECONDS: Final = 10.0


def ask_prefect(machine: Machine, path: str, body: dict[str, Any]) -> Any:
    """The answer to a POST.

    Raises: httpx.HTTPError when the server does not answer, or refuses.
    """
    login = base64.b64encode(machine.secrets[PREFECT_LOGIN].encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    answer = httpx.post(f"{machine.api}/{path}", json=body, headers=headers, timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return answer.json()


def workers_of(machine: Machine, pool: str) -> list[dict[str, Any]]:
    """The workers that the server has heard of in a work pool.

    Raises: httpx.HTTPError when the server does not answer.
    """
    found: list[dict[str, Any]] = ask_prefect(machine, f"work_pools/{pool}/workers/filter", {})
    return found
