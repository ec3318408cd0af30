"""One move: its checks, the copy, and the comparison that ends it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from xinyu.app.data_folder import make_data_folder
from xinyu.app.moving.checks import Plan, check_apart, check_idle, check_source, check_target, made_plan
from xinyu.app.moving.errors import MoveError
from xinyu.app.moving.files import copy_file
from xinyu.app.moving.folders import HeldFolders
from xinyu.app.moving.schemas import schemas
from xinyu.app.moving.sides import OpenSide, Side
from xinyu.app.moving.watcher import Watcher
from xinyu.kernel.errors import XinyuError
from xinyu.storage.copying.tables import TableError, checksum_of, copy_table
from xinyu.storage.migrations import upgrade


class Move:
    """From one side to another. Its context holds the folders of both and closes their databases.

    The source is only ever read. Every method raises MoveError."""

    def __init__(self, source: Side, target: Side, watcher: Watcher) -> None:
        self.source = OpenSide(source)
        self.target = OpenSide(target)
        self._watcher = watcher
        self._folders = HeldFolders()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.close()
        await self.source.stop()
        await self.target.stop()
        self._folders.release()

    async def check(self) -> Plan:
        """Find everything that can be found beforehand, changing nothing; what there is to copy."""
        self._hold(self.source)
        self._hold(self.target)
        try:
            await self.source.start(make=False)
            await check_source(self.source)
            await self.target.start(make=False)
            await check_apart(self.source, self.target)
            for side in (self.source, self.target):
                await check_idle(side)
            await check_target(self.target)
            return await made_plan(self.source, self.target)
        except (XinyuError, TableError) as error:
            raise _as_refusal(error) from error

    async def carry_out(self, plan: Plan) -> None:
        """Copy the files, which may be repeated, then the tables, which may not; then compare."""
        what_now = "what is there of the files stays, and no database was touched; run it again to go on"
        try:
            self._make_folders()
            await self.copy_files(plan)
            what_now = self._what_now()
            await self.copy_tables(plan)
            await self.verify(plan)
        except MoveError as error:
            raise MoveError(f"{error}; {what_now}") from error
        except BaseException:
            self._watcher.warn(f"broken off; {what_now}")
            raise

    async def copy_files(self, plan: Plan) -> None:
        """The uploaded files; those that are there already stay."""
        begin, end = self.source.side.media, self.target.side.media
        if plan.files is None or begin is None or end is None:
            return
        self._watcher.begin("files", len(plan.files))
        for file in plan.files:
            copy_file(begin, end, file.name)
            self._watcher.advance(1)
            await asyncio.sleep(0)  # an interruption is heard between two files
        self._watcher.end()

    async def copy_tables(self, plan: Plan) -> None:
        """Make the target's schemas and fill them."""
        rows = {table.table: table.rows for table in plan.tables}
        try:
            await self._make_schemas()
            for role, schema in schemas().items():
                for table in schema.tables:
                    self._watcher.begin(table.name, rows[table.name])
                    source, target = self.source.of_role(role), self.target.of_role(role)
                    await copy_table(source, target, table, self._watcher.advance)
                    self._watcher.end()
        except (XinyuError, TableError) as error:
            raise _as_refusal(error) from error

    async def verify(self, plan: Plan) -> None:
        """Compare rows and checksums of every table as both databases have it now; all that differ are named."""
        rows = {table.table: table.rows for table in plan.tables}
        wrong: list[str] = []
        try:
            for role, schema in schemas().items():
                for table in schema.tables:
                    self._watcher.begin(f"compare {table.name}, both sides", 2 * rows[table.name])
                    ours = await checksum_of(self.source.of_role(role), table, self._watcher.advance)
                    theirs = await checksum_of(self.target.of_role(role), table, self._watcher.advance)
                    self._watcher.end()
                    if ours != theirs:
                        wrong.append(f"{table.name} ({ours.rows} rows in the source, {theirs.rows} in the target)")
        except (XinyuError, TableError) as error:
            raise _as_refusal(error) from error
        if wrong:
            raise MoveError(f"the copy differs from the source in {', '.join(wrong)}")

    def _make_folders(self) -> None:
        """The target's, for their owner alone, and nobody else's from then on."""
        side = self.target.side
        around = [folder for folder in side.data_dirs if side.media and side.media.is_relative_to(folder)]
        for folder in (*around, *(path.parent for path in self.target.files())):
            try:
                make_data_folder(folder)
            except OSError as error:
                raise MoveError(f"cannot make {folder}: {error.strerror}") from error
        self._hold(self.target)

    async def _make_schemas(self) -> None:
        await self.target.start(make=True)
        for role, schema in schemas().items():
            await upgrade(self.target.of_role(role), schema.history)

    def _hold(self, side: OpenSide) -> None:
        for folder in (*side.side.data_dirs, *(path.parent for path in side.files())):
            self._folders.take(folder)

    def _what_now(self) -> str:
        return (
            "the source is as it was; the target is incomplete: start no server on it and empty it before trying again "
            f"({self.target.how_to_empty()})"
        )


def _as_refusal(error: Exception) -> MoveError:
    if not isinstance(error, XinyuError):
        return MoveError(str(error))
    detail = error.details.get("details")
    return MoveError(f"{error.message} ({detail})" if detail else error.message)
