"""Whole deployments moved from engine to engine: people find everything as it was, and go on from there."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from testkit.moving import Life, Silent, lived, running, settings_of
from testkit.people import Town
from xinyu.app.moving.checks import Plan
from xinyu.app.moving.errors import MoveError
from xinyu.app.moving.move import Move
from xinyu.app.moving.schemas import schemas
from xinyu.app.moving.sides import Side, side_of_settings
from xinyu.app.settings import Settings
from xinyu.sdk.api.people import ContactGroup
from xinyu.storage.copying.tables import copy_table
from xinyu.user.tables import accounts

Json = dict[str, Any]


def side(settings: Json, name: str = "--to") -> Side:
    return side_of_settings(name, Settings(**settings))


async def moved(source: Json, target: Json) -> Plan:
    """Copied, with the secrets, as the documents say."""
    async with Move(side(source, "--from"), side(target), Silent()) as move:
        plan = await move.check()
        await move.carry_out(plan)
    shutil.copytree(Path(source["data_dir"]) / "secrets", Path(target["data_dir"]) / "secrets")
    return plan


async def goes_on(town: Town, life: Life) -> None:
    """What is new follows on what is there: numbers of messages, ids of accounts, groups and lists."""
    ana, bo, _ = await life.again(town)
    before = (await ana.messages.records(life.talk))[0]
    sent = await bo.messages.send(life.talk, "text", {"text": "still here 🎉", "content": "still here 🎉"})
    assert sent.seq == before.seq + 1
    assert (await ana.messages.records(life.talk))[0].text == "still here 🎉"
    known = {contact.user_id for contact in await ana.contacts.list()}
    newcomer = await town.person("Dora")
    assert newcomer.uid > max(known)
    assert await newcomer.client.groups.create("mine", [newcomer.uid]) > life.group_id
    kept = list(await ana.contacts.groups())
    await ana.contacts.save_groups([*kept, ContactGroup(id=0, name="new")])
    [made] = [line for line in await ana.contacts.groups() if line.name == "new"]
    assert made.id > max(line.id for line in kept) + 1, "the id of the group that was removed is not given again"
    await ana.contacts.save_groups(kept)


@pytest.mark.engine
async def test_there_and_back_again(tmp_path: Path, new_mysql_database: Callable[[], str]) -> None:
    small = settings_of(tmp_path / "one")
    grown = settings_of(
        tmp_path / "two",
        {"dsn": new_mysql_database(), "dsn_by_role": {role: new_mysql_database() for role in ("user", "message")}},
    )
    back = settings_of(tmp_path / "three")
    async with running(small) as town:
        life = await lived(town, tmp_path)
        seen = await life.seen(town)
    plan = await moved(small, grown)
    assert plan.files and plan.bytes and plan.rows
    async with running(grown) as town:
        assert await life.seen(town) == seen
        await goes_on(town, life)
        seen = await life.seen(town)
    await moved(grown, back)
    async with running(back) as town:
        assert await life.seen(town) == seen
        await goes_on(town, life)


async def test_from_file_to_file(tmp_path: Path) -> None:
    one = settings_of(tmp_path / "one")
    two = settings_of(tmp_path / "two", {"dsn_by_role": {"message": f"sqlite:///{tmp_path}/two/message.db"}})
    async with running(one) as town:
        life = await lived(town, tmp_path)
        seen = await life.seen(town)
    await moved(one, two)
    async with running(two) as town:
        assert await life.seen(town) == seen
        await goes_on(town, life)


@pytest.mark.engine
async def test_a_schema_that_others_work_in_is_refused(
    tmp_path: Path, new_mysql_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinyu.app.moving.checks.OTHERS_SECONDS", 0)
    dsn = new_mysql_database()
    served = settings_of(tmp_path / "one", {"dsn": dsn})
    async with running(served):
        elsewhere = settings_of(tmp_path / "two", {"dsn": dsn})
        async with Move(side(elsewhere), side(settings_of(tmp_path / "three")), Silent()) as move:
            with pytest.raises(MoveError, match=r"other connection.*stop all servers"):
                await move.check()


@pytest.mark.engine
@pytest.mark.parametrize("engine", ["mysql", "sqlite"])
async def test_what_cannot_be_stored_is_one_line_and_what_differs_is_named(
    tmp_path: Path, new_mysql_database: Callable[[], str], engine: str
) -> None:
    """A text that is longer than a column is refused by MySQL; a row that changes afterwards is found on both."""
    one = settings_of(tmp_path / "one")
    two = settings_of(tmp_path / "two", {"dsn": new_mysql_database()} if engine == "mysql" else {})
    async with running(one) as town:
        await town.people("Ana", "Bo")
    async with Move(side(one, "--from"), side(two), Silent()) as move:
        plan = await move.check()
        await move.carry_out(plan)
        target = move.target.of_role("user")
        await target.write(lambda connection: _rename(connection, "bo"))
        with pytest.raises(MoveError, match=r"differs from the source in user_account \(2 rows .*, 2 in the target\)"):
            await move.verify(plan)
        await target.write(lambda connection: connection.execute(sa.delete(accounts)) and None)
        with pytest.raises(MoveError, match=r"in user_account \(2 rows in the source, 0 in the target\)"):
            await move.verify(plan)
        await move.source.of_role("user").write(lambda connection: _rename(connection, "x" * 65))
        if engine == "mysql":
            with pytest.raises(Exception, match=r"table user_account: .*nickname"):
                await copy_table(move.source.of_role("user"), target, accounts, lambda _: None)


def _rename(connection: Connection, nickname: str) -> None:
    statement = sa.update(accounts).where(accounts.c.nickname.in_(("Bo", "bo"))).values(nickname=nickname)
    connection.execute(statement)


@pytest.mark.engine
async def test_an_attempt_that_failed_is_told_and_the_next_one_refused_until_the_target_is_empty(
    tmp_path: Path, new_mysql_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, dsn = settings_of(tmp_path / "one"), new_mysql_database()
    two = settings_of(tmp_path / "two", {"dsn": dsn})
    async with running(one) as town:
        await town.people("Ana", "Bo")
        seen = await _nicknames(one)
    password = sa.make_url(dsn).password
    assert password
    watcher = Silent()

    def interrupted(_: int) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(watcher, "advance", interrupted)
    with pytest.raises(asyncio.CancelledError):
        async with Move(side(one, "--from"), side(two), watcher) as move:
            plan = await move.check()
            await move.carry_out(plan._replace(files=None))
    [line] = watcher.warnings
    assert "the target is incomplete" in line and "create it again" in line and password not in line
    with pytest.raises(MoveError, match="--to is not empty: there are rows in user_account") as refused:
        async with Move(side(one, "--from"), side(two), Silent()) as move:
            await move.check()
    assert password not in str(refused.value)
    assert await _nicknames(one) == seen
    assert {table.name for schema in schemas().values() for table in schema.tables} == {
        table.table for table in plan.tables
    }


async def _nicknames(settings: Mapping[str, Any]) -> list[str]:
    with closing(sqlite3.connect(f"file:{settings['data_dir']}/xinyu.db?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT nickname FROM user_account ORDER BY id")]
