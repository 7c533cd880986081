"""What the endpoint tells of a model: its version, classes, threshold, and the figures measured before it served."""

from collections.abc import Mapping
from typing import Any, Final

from deployments.endpoint.served_model import ServedModel

_RATES: Final = ("recall", "specificity", "precision", "accuracy", "auc")


def model_facts(model: ServedModel) -> dict[str, Any]:
    """Facts of one served version, as JSON values. Figures hold `value`, `lower`, `upper` (95 % interval), `n`."""
    facts = model.manifest
    return {
        "name": facts.name,
        "version": model.version,
        "classes": list(facts.classes),
        "positive_class": facts.positive_class,
        "threshold": facts.threshold,
        "backbone": facts.backbone,
        "created": facts.created.isoformat(),
        "protocol": facts.protocol,
        "dataset_digest": facts.dataset_digest,
        "figures": _figures(facts.metrics),
    }


def _figures(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    figures = {}
    for name in _RATES:
        estimate = metrics.get(name)
        if isinstance(estimate, dict) and all(
            isinstance(estimate.get(part), int | float) for part in ("value", "lower", "upper", "n")
        ):
            figures[name] = {part: estimate[part] for part in ("value", "lower", "upper", "n")}
    return figures
