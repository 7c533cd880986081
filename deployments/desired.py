"""The state that the server should be in, as a pure function of the rows and the data-set files."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from prefect.events.schemas.automations import AutomationCore
from pydantic import ConfigDict, Field

from deployments.data_set_file import DataSetFile, Labelling
from deployments.notifications import automations_of, dead_runs
from deployments.registered import Channel, Deployment, WorkPool
from deployments.triggers import triggers_of
from tasks.errors import ConfigError
from tasks.record import Frozen
from tasks.server.upcoming import OURS


class DesiredState(Frozen):
    """Everything that should be on the server."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    pools: tuple[WorkPool, ...] = Field(description="Work pools.")
    deployments: tuple[Deployment, ...] = Field(description="Deployments.")
    automations: tuple[AutomationCore, ...] = Field(description="Automations.")


def channels_of(data_sets: Sequence[DataSetFile]) -> tuple[Channel, ...]:
    """All channels that some data set names, once each."""
    found = {channel.name: channel for data_set in data_sets for channel in data_set.notify}
    return tuple(found[name] for name in sorted(found))


def desired_state(
    pools: Sequence[WorkPool],
    shared: Sequence[Deployment],
    data_sets: Sequence[DataSetFile],
    blocks: Mapping[str, UUID],
    ui_url: str,
) -> DesiredState:
    """What should be on the server. `blocks` gives the block document of each channel by the channel's name."""
    channels = channels_of(data_sets)
    deployments = [_shared(row, data_sets, channels) for row in shared]
    for data_set in data_sets:
        deployments.append(_retrain(data_set))
        if data_set.score is not None:
            deployments.append(_score(data_set))
        if data_set.labelling is not None:
            deployments.append(_label(data_set, data_set.labelling))
    deployments += _by_the_clock(data_sets)
    automations = [dead_runs(), *(trigger for data_set in data_sets for trigger in triggers_of(data_set))]
    for channel in channels:
        automations += automations_of(channel, blocks[channel.name], ui_url)
    return DesiredState(
        pools=tuple(pools),
        deployments=tuple(row.model_copy(update={"tags": (OURS, *row.tags)}) for row in deployments),
        automations=tuple(automations),
    )


def _shared(row: Deployment, data_sets: Sequence[DataSetFile], channels: Sequence[Channel]) -> Deployment:
    """The watchdog looks after the compute of all data sets, and its findings go to all channels."""
    if row.name != "watchdog":
        return row
    watched = {
        data_set.compute.pool: {"pool": data_set.compute.pool, "driver": data_set.compute.driver.model_dump()}
        for data_set in data_sets
        if data_set.compute.pool is not None and data_set.compute.driver.kind != "none"
    }
    return row.model_copy(
        update={
            "parameters": {"watched": [watched[pool] for pool in sorted(watched)]},
            "tags": tuple(channel.tag for channel in channels),
        }
    )


def _retrain(data_set: DataSetFile) -> Deployment:
    return Deployment(
        name=f"retrain-{data_set.name}",
        entrypoint="flows.retrain.retrain",
        pool="default",
        description=f"The whole main job on {data_set.name}: from images to a promoted model, if it is good enough.",
        parameters=data_set.parameters(),
        schedules=(data_set.schedule,) if data_set.schedule else (),
        tags=(data_set.name, *(channel.tag for channel in data_set.notify)),
        concurrency_limit=1,
        on_overlap=data_set.on_overlap,
    )


def _score(data_set: DataSetFile) -> Deployment:
    scoring = data_set.score
    assert scoring is not None  # noqa: S101 - the caller asked
    return Deployment(
        name=f"score-{data_set.name}",
        entrypoint="flows.score.score_store",
        pool="default",
        description=f"Score a store with the champion of {data_set.name}.",
        parameters={
            "images": scoring.images.model_dump(mode="json"),
            "out": scoring.out.model_dump(mode="json"),
            "model": {"name": data_set.name, "workspace": data_set.workspace.model_dump(mode="json")},
        },
        schedules=(scoring.schedule,) if scoring.schedule else (),
        tags=(data_set.name, *(channel.tag for channel in data_set.notify)),
        concurrency_limit=1,
    )


def _by_the_clock(data_sets: Sequence[DataSetFile]) -> list[Deployment]:
    """Starting and stopping the machines behind a pool at the hours of a file.

    Raises: ConfigError when there is nothing to start, or two files give one pool different hours.
    """
    said: dict[str, DataSetFile] = {}
    for data_set in data_sets:
        if data_set.compute_hours is None:
            continue
        pool, kind = data_set.compute.pool, data_set.compute.driver.kind
        if pool is None or kind == "none":
            raise ConfigError(
                f"{data_set.name}: compute_hours: nothing can be started or stopped behind the pool",
                cure="set compute.pool and compute.driver, or leave compute_hours out",
            )
        other = said.setdefault(pool, data_set)
        if (other.compute_hours, other.compute.driver) != (data_set.compute_hours, data_set.compute.driver):
            raise ConfigError(
                f"{other.name} and {data_set.name} give the pool '{pool}' different compute_hours or drivers",
                cure="give them in one of the two files only",
            )
    return [row for pool, data_set in said.items() for row in _start_and_stop(pool, data_set)]


def _start_and_stop(pool: str, data_set: DataSetFile) -> list[Deployment]:
    hours = data_set.compute_hours
    assert hours is not None  # noqa: S101 - the caller asked
    work = {
        "start": ("Wake the machines behind", hours.start),
        "stop": ("Put to sleep the machines behind", hours.stop),
    }
    return [
        Deployment(
            name=f"compute-{verb}-{pool}",
            entrypoint=f"flows.compute.compute_{verb}",
            pool="default",
            description=f"{what} the work pool {pool}, at the hours of {data_set.name}.",
            parameters={"pool": pool, "driver": data_set.compute.driver.model_dump(mode="json")},
            schedules=(schedule,),
            tags=tuple(channel.tag for channel in data_set.notify),
            concurrency_limit=1,
            on_overlap="cancel",
        )
        for verb, (what, schedule) in work.items()
        if schedule is not None
    ]


def _label(data_set: DataSetFile, labelling: Labelling) -> Deployment:
    return Deployment(
        name=f"label-{data_set.name}",
        entrypoint="flows.label.label",
        pool="default",
        description=f"Bring in what people labelled of {data_set.name}, and hand out what they should look at next.",
        parameters={
            **data_set.model_dump(mode="json", include={"images", "workspace", "dataset"}),
            "labelling": labelling.settings.model_dump(mode="json"),
        },
        schedules=(labelling.schedule,) if labelling.schedule else (),
        tags=(data_set.name, *(channel.tag for channel in data_set.notify)),
        concurrency_limit=1,
        on_overlap="wait",
    )
