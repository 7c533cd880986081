"""Compute: wake the machines behind a work pool, or put them to sleep, from the UI or by a schedule."""

import time

from prefect import flow

from tasks.compute.drivers import Sleep, driver_of, put_to_sleep
from tasks.compute.settings import DriverSettings, NoCompute
from tasks.engine.flow_run import ended, run_name
from tasks.errors import ComputeUnavailable
from tasks.server.work_pool import online_workers

POLL_SECONDS = 1.0


@flow(name="compute-start", flow_run_name=run_name, persist_result=False)
def compute_start(
    pool: str,
    driver: DriverSettings = NoCompute(),  # noqa: B008 - frozen
    ready_within_seconds: int = 900,
) -> list[str]:
    """Wake the machines behind a pool and wait until a worker is online; returns the workers' names.

    Args:
        pool: The work pool.
        driver: How its machines are started.
        ready_within_seconds: The run fails when no worker is online after this time.
    """
    deadline = time.monotonic() + ready_within_seconds
    machines = driver_of(pool, driver)
    machines.start()
    while not (workers := online_workers(pool)):
        if time.monotonic() > deadline:
            raise ComputeUnavailable(
                f"No worker of the work pool '{pool}' came online within {ready_within_seconds} s.",
                cure=f"look at the machine, or start a worker with `prefect worker start --pool {pool}`",
            )
        time.sleep(POLL_SECONDS)
        machines.start()
    return ended(workers, f"online on {pool}: {', '.join(workers)}")


@flow(name="compute-stop", flow_run_name=run_name, persist_result=False)
def compute_stop(
    pool: str,
    driver: DriverSettings = NoCompute(),  # noqa: B008 - frozen
    drain_seconds: int = 3600,
) -> Sleep:
    """Drain a pool and stop the machines behind it; they stay awake where work waits or outlasts the time.

    Args:
        pool: The work pool.
        driver: How its machines are stopped.
        drain_seconds: How long runs may take to end.
    """
    slept = put_to_sleep(pool, driver, drain_seconds=drain_seconds)
    return ended(slept, f"{pool} {'sleeps' if slept.asleep else 'stays awake'}: {slept.reason}")
