"""Prefect's server on one machine: writers on SQLite wait for their turn instead of failing."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from prefect.server.database.configurations import AioSqliteConfiguration

from deployments.machine.prefect_server import QueuedWrites


def others_may_write(configuration: AioSqliteConfiguration, file: Path) -> bool:
    """Whether another connection may begin to write while a transaction has only begun."""

    async def look() -> bool:
        engine = await configuration.engine()
        session = await configuration.session(engine)
        try:
            async with session, configuration.begin_transaction(session):
                await session.connection()
                other = sqlite3.connect(file, timeout=0, isolation_level=None)
                try:
                    other.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    assert "locked" in str(error)
                    return False
                finally:
                    other.close()
                return True
        finally:
            await engine.dispose()

    return asyncio.run(look())


@pytest.mark.parametrize(("kind", "expected"), [(AioSqliteConfiguration, True), (QueuedWrites, False)])
def test_a_transaction_takes_its_turn_before_it_reads(
    kind: type[AioSqliteConfiguration], expected: bool, tmp_path: Path
) -> None:
    file = tmp_path / "prefect.db"
    configuration = kind(connection_url=f"sqlite+aiosqlite:///{file}", timeout=5)
    assert others_may_write(configuration, file) is expected
