"""What a database tells of the work that was given to it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from sqlalchemy import Connection

from testkit.waiting import eventually
from xinyu.storage.sqlite.database import SqliteDatabase


async def test_what_runs_and_what_waits_is_pending(tmp_path: Path) -> None:
    database, go_on = SqliteDatabase(tmp_path / "x.db"), threading.Event()

    def pending() -> object:
        return next(value for name, _, value in database.counts.readings() if name == "xinyu_db_pending")

    def wait(_: Connection) -> bool:
        return go_on.wait(10)

    await database.start()
    try:
        tasks = [asyncio.create_task(run(wait)) for run in (database.write, database.write, database.read)]
        await eventually(lambda: pending() == 3)
        go_on.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert pending() == 0
    finally:
        go_on.set()
        await database.stop()
