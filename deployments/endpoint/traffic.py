"""Which deployment answers a request, and which ones a copy of it goes to, as a managed endpoint decides."""

import random
from dataclasses import dataclass
from typing import Final

from deployments.endpoint.champion import DEPLOYMENTS, Champion, Deployment
from deployments.endpoint.refusal import Refusal
from deployments.endpoint.served_model import ServedModel

HEADER: Final = "azureml-model-deployment"
"""Picks the deployment in a request and names it in an answer
(learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints)."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers, and who is asked too without being heard."""

    deployment: Deployment
    model: ServedModel
    mirror: ServedModel | None


def route(
    champion: Champion, header: str | None, challenger_percent: float | None, mirror_percent: float
) -> Route:
    """Pick by the header, else by chance; without a challenger the champion answers all.

    Raises:
        Refusal: 400, the header names no deployment that is served; 503, no champion yet.
    """
    first, second = champion.model("champion"), champion.model("challenger")
    if header is not None:
        named = next((name for name in DEPLOYMENTS if name == header.strip().lower()), None)
        model = champion.model(named) if named else None
        if named is None or model is None:
            served = ", ".join(name for name in DEPLOYMENTS if champion.model(name))
            raise Refusal(400, "unknown_deployment", f"served are: {served}", field=HEADER)
        return Route(named, model, None)
    if first is None:
        why = champion.missing or "no model is loaded yet"
        raise Refusal(503, "not_ready", why, headers={"retry-after": "5"})
    if second is None:
        return Route("champion", first, None)
    if random.uniform(0, 100) < (challenger_percent or 0):  # noqa: S311 not a secret
        return Route("challenger", second, None)
    mirrored = random.uniform(0, 100) < mirror_percent  # noqa: S311 not a secret
    return Route("champion", first, second if mirrored else None)
