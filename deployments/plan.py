"""The difference between the server and what it should be, as changes that can be shown and applied."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentCreate,
    DeploymentUpdate,
    VariableCreate,
    VariableUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkPool as ServerPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.utilities.importtools import import_object

from deployments.desired import DesiredState
from deployments.registered import HEARTBEAT_SECONDS, Deployment, WorkPool
from deployments.schedules import ScheduleDifference, schedule_difference, slug_of, to_create
from deployments.triggers import deployment_ids, resolved
from tasks.server.upcoming import OURS

MANAGED = "(managed by lightbox deploy)"
RECORD = "lightbox_deployed"
"""Variable: which schedules the last deploy left on each deployment."""

ENVIRONMENT = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,tasks",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Of every run's process: heartbeats often enough to find dead runs, our modules' log records in the UI, and OpenMP
threads that sleep instead of spin."""

JOB_VARIABLES = {"env": ENVIRONMENT, "stream_output": False}
"""A process that writes to its worker's console dies at the first line after the worker has; the UI has the logs."""


@dataclass(frozen=True)
class Change:
    """One change, and how it is made."""

    action: Literal["create", "change", "remove"]
    kind: Literal["work pool", "deployment", "automation"]
    name: str
    words: tuple[str, ...] = ()
    apply: Callable[[SyncPrefectClient], Any] = field(repr=False, default=lambda _: None)


@dataclass(frozen=True)
class Plan:
    """All changes in the order in which they must be made, and what is left as a person set it."""

    changes: tuple[Change, ...]
    kept: tuple[str, ...]


def make_plan(server: SyncPrefectClient, desired: DesiredState, *, reset_schedules: bool) -> Plan:
    """Compare the server with the desired state; changes nothing."""
    record = _read_record(server)
    pools = {pool.name: pool for pool in server.read_work_pools(limit=200)}
    found = server.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS])), limit=200
    )
    deployments = {deployment.name: deployment for deployment in found}
    automations = {
        automation.name: automation for automation in server.read_automations() if OURS in automation.tags
    }
    ids = {name: deployment.id for name, deployment in deployments.items()}
    kept: list[str] = []
    changes = [change for row in desired.pools if (change := _pool(row, pools.get(row.name)))]
    for row in desired.deployments:
        change, left = _deployment(row, deployments.get(row.name), record, reset=reset_schedules)
        kept += [f"{row.name}: schedule {slug} was changed by hand" for slug in left]
        changes += [change] if change else []
    changes += [
        change
        for wanted in desired.automations
        if (change := _automation(resolved(wanted, ids), automations.get(wanted.name)))
    ]
    return Plan((*changes, *_removals(desired, pools, deployments, automations)), tuple(kept))


def write_record(server: SyncPrefectClient, desired: DesiredState) -> None:
    """Remember which schedules were deployed, to tell later which of them a person removed."""
    record = {row.name: [slug_of(schedule) for schedule in row.schedules] for row in desired.deployments}
    value = json.dumps(record, sort_keys=True)
    if server.read_variable_by_name(RECORD) is None:
        server.create_variable(VariableCreate(name=RECORD, value=value))
    else:
        server.update_variable(VariableUpdate(name=RECORD, value=value))


def _read_record(server: SyncPrefectClient) -> dict[str, list[str]]:
    variable = server.read_variable_by_name(RECORD)
    record: dict[str, list[str]] = {} if variable is None else json.loads(str(variable.value))
    return record


def _pool(row: WorkPool, found: ServerPool | None) -> Change | None:
    description = f"{row.description} {MANAGED}"
    if found is None:

        def create(server: SyncPrefectClient) -> None:
            server.create_work_pool(
                WorkPoolCreate(
                    name=row.name,
                    type=row.type,
                    description=description,
                    base_job_template=_job_template(server, row.type),
                    concurrency_limit=row.concurrency_limit,
                )
            )

        return Change("create", "work pool", row.name, apply=create)
    wanted = {"description": description, "concurrency_limit": row.concurrency_limit}
    words = _differences(wanted, {name: getattr(found, name) for name in wanted})
    if found.type != row.type:
        words.append(
            f"type is {found.type}, not {row.type}: delete the pool in the UI first, it cannot be changed"
        )
    if not words:
        return None
    update = WorkPoolUpdate.model_validate(wanted)
    return Change(
        "change",
        "work pool",
        row.name,
        tuple(words),
        lambda server: server.update_work_pool(row.name, update),
    )


def _job_template(server: SyncPrefectClient, kind: str) -> dict[str, Any]:
    """The pool type's own template, as the server's collection registry has it."""
    answer = server.request(
        "GET", "/collections/views/{view}", path_params={"view": "aggregate-worker-metadata"}
    )
    for collection in answer.json().values():
        for worker in collection.values():
            if worker["type"] == kind:
                return dict(worker["default_base_job_configuration"])
    return {}


def _deployment(
    row: Deployment, found: DeploymentResponse | None, record: Mapping[str, list[str]], *, reset: bool
) -> tuple[Change | None, tuple[str, ...]]:
    flow: Flow[..., Any] = import_object(row.entrypoint)
    wanted = _wanted(row, flow)
    if found is None:
        create = partial(_create_deployment, row=row, flow=flow, wanted=wanted)
        words = tuple(f"schedule {schedule.cron} ({schedule.time_zone})" for schedule in row.schedules)
        return Change("create", "deployment", row.name, words, create), ()
    words = tuple(_differences(wanted, _as_wanted(found)))
    schedules = schedule_difference(row.schedules, found.schedules, record.get(row.name, ()), reset=reset)
    if not words and not schedules.words:
        return None, schedules.kept

    def update(server: SyncPrefectClient) -> None:
        if words:
            server.update_deployment(found.id, DeploymentUpdate.model_validate(_payload(wanted)))
        _apply_schedules(server, found, schedules)

    return Change("change", "deployment", row.name, (*words, *schedules.words), update), schedules.kept


def _wanted(row: Deployment, flow: Flow[..., Any]) -> dict[str, Any]:
    return {
        "entrypoint": row.entrypoint,
        "work_pool_name": row.pool,
        "description": row.description,
        "tags": sorted(row.tags),
        "parameters": row.parameters,
        "job_variables": JOB_VARIABLES,
        "concurrency_limit": row.concurrency_limit,
        "collision_strategy": None
        if row.concurrency_limit is None
        else {"wait": "ENQUEUE", "cancel": "CANCEL_NEW"}[row.on_overlap],
        "parameter_openapi_schema": flow.parameters.model_dump(mode="json", exclude_unset=True),
        "enforce_parameter_schema": True,
    }


def _as_wanted(found: DeploymentResponse) -> dict[str, Any]:
    limit, options = found.global_concurrency_limit, found.concurrency_options
    return {
        "entrypoint": found.entrypoint,
        "work_pool_name": found.work_pool_name,
        "description": found.description,
        "tags": sorted(found.tags),
        "parameters": found.parameters,
        "job_variables": found.job_variables,
        "concurrency_limit": None if limit is None else limit.limit,
        "collision_strategy": None if options is None else str(options.collision_strategy.value),
        "parameter_openapi_schema": found.parameter_openapi_schema,
        "enforce_parameter_schema": found.enforce_parameter_schema,
    }


def _payload(wanted: Mapping[str, Any]) -> dict[str, Any]:
    strategy = wanted["collision_strategy"]
    options = None if strategy is None else {"collision_strategy": strategy}
    rest = {name: value for name, value in wanted.items() if name != "collision_strategy"}
    return {**rest, "concurrency_options": options}


def _create_deployment(
    server: SyncPrefectClient, *, row: Deployment, flow: Flow[..., Any], wanted: Mapping[str, Any]
) -> None:
    flow_id = server.create_flow_from_name(flow.name)
    create = DeploymentCreate.model_validate(
        {
            **_payload(wanted),
            "flow_id": flow_id,
            "name": row.name,
            "schedules": [to_create(schedule) for schedule in row.schedules],
        }
    )
    server.request("POST", "/deployments/", json=create.model_dump(mode="json", exclude_unset=True))


def _apply_schedules(
    server: SyncPrefectClient, found: DeploymentResponse, difference: ScheduleDifference
) -> None:
    """Remove first: a reset makes a schedule again under its slug."""
    for schedule in found.schedules:
        if schedule.slug in difference.delete:
            server.delete_deployment_schedule(found.id, schedule.id)
    if difference.create:
        body = [to_create(row).model_dump(mode="json", exclude_unset=True) for row in difference.create]
        server.request("POST", "/deployments/{id}/schedules", path_params={"id": found.id}, json=body)


def _automation(wanted: AutomationCore, found: Automation | None) -> Change | None:
    """Whether it is enabled stays as a person set it."""
    if found is None:
        return Change(
            "create",
            "automation",
            wanted.name,
            apply=lambda server: server.create_automation(resolved(wanted, deployment_ids(server))),
        )
    words = tuple(_differences(_comparable(wanted), _comparable(found)))
    if not words:
        return None
    update = wanted.model_copy(update={"enabled": found.enabled})
    return Change(
        "change",
        "automation",
        wanted.name,
        words,
        lambda server: server.update_automation(found.id, resolved(update, deployment_ids(server))),
    )


def _comparable(automation: AutomationCore) -> dict[str, Any]:
    compared = {"description", "tags", "trigger", "actions"}
    said = automation.model_dump(mode="json", include=compared)
    said["trigger"].pop("id", None)
    for name in ("expect", "after", "for_each"):
        said["trigger"][name] = sorted(said["trigger"][name])
    return said


def _removals(
    desired: DesiredState,
    pools: Mapping[str, ServerPool],
    deployments: Mapping[str, DeploymentResponse],
    automations: Mapping[str, Automation],
) -> list[Change]:
    """What an earlier deploy made and no row names any more; pools last, since deployments stand on them."""
    wanted_deployments = {row.name for row in desired.deployments}
    wanted_automations = {automation.name for automation in desired.automations}
    wanted_pools = {row.name for row in desired.pools}
    gone: list[Change] = []
    for name, automation in automations.items():
        if name not in wanted_automations:
            remove = partial(SyncPrefectClient.delete_automation, automation_id=automation.id)
            gone.append(Change("remove", "automation", name, apply=remove))
    for name, deployment in deployments.items():
        if name not in wanted_deployments:
            erase = partial(SyncPrefectClient.delete_deployment, deployment_id=deployment.id)
            gone.append(Change("remove", "deployment", name, apply=erase))
    for name, pool in pools.items():
        if name not in wanted_pools and (pool.description or "").endswith(MANAGED):
            drop = partial(SyncPrefectClient.delete_work_pool, work_pool_name=name)
            gone.append(Change("remove", "work pool", name, apply=drop))
    return gone


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in wanted.items():
        if found.get(name) != value:
            short = isinstance(value, str | int | float | None) and len(str(value)) < 80
            words.append(f"{name}: {found.get(name)} → {value}" if short else f"{name} changed")
    return words
