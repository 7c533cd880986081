"""Automations that start a deployment: images that land are labelled, labels that land are learnt."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.data_set_file import DataSetFile
from tasks.label_status import IMAGES_LANDED, LABELS_LANDED
from tasks.server.upcoming import OURS


def triggers_of(data_set: DataSetFile) -> list[AutomationCore]:
    """What starts by itself for a data set that is labelled; nothing for one that is not.

    The deployments may not be there yet: `resolved` puts their ids in the place of names.
    """
    if data_set.labelling is None:
        return []
    name = data_set.name
    return [
        _started_by(
            IMAGES_LANDED,
            f"lightbox.images.{name}",
            f"label-{name}",
            f"Hands unlabelled images of {name} to people.",
        ),
        _started_by(
            LABELS_LANDED,
            f"lightbox.labels.{name}",
            f"retrain-{name}",
            f"Retrains {name} once enough new labels are settled.",
        ),
    ]


def resolved(automation: AutomationCore, ids: Mapping[str, UUID]) -> AutomationCore:
    """The automation with the ids of the deployments that it starts, as far as they are known."""
    known = {_placeholder(name): deployment for name, deployment in ids.items()}
    actions = [
        action.model_copy(update={"deployment_id": known[action.deployment_id]})
        if isinstance(action, RunDeployment) and action.deployment_id in known
        else action
        for action in automation.actions
    ]
    return automation.model_copy(update={"actions": actions})


def deployment_ids(server: SyncPrefectClient) -> dict[str, UUID]:
    """Ids of our deployments on the server, by name."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    return {found.name: found.id for found in server.read_deployments(deployment_filter=ours, limit=200)}


def _started_by(event: str, resource: str, deployment: str, description: str) -> AutomationCore:
    return AutomationCore(
        name=f"Lightbox: {deployment} on {event}",
        description=description,
        tags=[OURS],
        trigger=EventTrigger(
            expect={event},
            match={"prefect.resource.id": resource},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(source="selected", deployment_id=_placeholder(deployment))],
    )


def _placeholder(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"lightbox:deployment:{name}")
