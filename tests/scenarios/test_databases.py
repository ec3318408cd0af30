"""Where services keep their data is the operator's choice: one schema for all, a schema each, a server each. An account
for migrations makes the schemas, the services run with the accounts that `xinyu grants` prints."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from testkit.accounts import DOMAINS, HOST
from testkit.engines import OwnEngine
from testkit.mysql import execute, made_schema, rows, server_dsn
from testkit.people import Person, Town, befriend, write_file
from testkit.placement import ROOT, Placement, environment, monolith
from xinyu.sdk import Talk
from xinyu.storage.accounts import Address, with_account

pytestmark = [pytest.mark.scenario, pytest.mark.engine]
DDL = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES"
"""What docs/howto/databases.md tells operators to give the account of migrations."""
SECOND_SERVER = ("message", "media")
UPLOAD_BYTES = 30_000


def one_schema(_request: pytest.FixtureRequest) -> dict[str, str]:
    return dict.fromkeys(DOMAINS, made_schema(_name()))


def schema_each(_request: pytest.FixtureRequest) -> dict[str, str]:
    return {role: made_schema(_name()) for role in DOMAINS}


def server_each(request: pytest.FixtureRequest) -> dict[str, str]:
    """Two servers stand for five: log and uploads on one, people and groups on the other."""
    second: OwnEngine = request.getfixturevalue("own_mysql")
    servers = {role: second.address if role in SECOND_SERVER else server_dsn() for role in DOMAINS}
    return {role: made_schema(_name(), server) for role, server in servers.items()}


def _name() -> str:
    return f"xinyu_l_{secrets.token_hex(6)}"


class Databases:
    """The schemas of one layout, seen by who administers the servers."""

    def __init__(self, admin_dsns: Mapping[str, str]) -> None:
        self.admin_dsns = dict(admin_dsns)
        self._mark = secrets.token_hex(4)
        self._migrator = f"ddl_{self._mark}", secrets.token_hex(16)

    @property
    def dsn_by_role(self) -> dict[str, str]:
        """What the configuration has."""
        return {
            role: with_account(dsn, f"{role}_{self._mark}", f"{role} pass'{self._mark}") for role, dsn in self._dsns
        }

    @property
    def _dsns(self) -> list[tuple[str, str]]:
        return list(self.admin_dsns.items())

    def migrate(self, placement: Placement) -> None:
        """Make the account of migrations, and let it make the tables."""
        user, password = self._migrator
        for dsn in sorted(set(self.admin_dsns.values())):
            execute(
                dsn,
                f"CREATE USER IF NOT EXISTS '{user}'@'{HOST}' IDENTIFIED BY '{password}'",
                f"GRANT {DDL} ON {make_url(dsn).database}.* TO '{user}'@'{HOST}'",
            )
        variables = {"XINYU_STORAGE__MIGRATION_USER": user, "XINYU_STORAGE__MIGRATION_PASSWORD": password}
        told = command(placement, "migrate", **variables)
        assert [line.split(":")[0] for line in told.splitlines()] == list(DOMAINS)

    def grant(self, placement: Placement) -> None:
        """Run what `xinyu grants` prints, each server's part there."""
        printed = command(placement, "grants", "--passwords", "--from", HOST)
        servers = {Address.of(dsn).server: dsn for dsn in self.admin_dsns.values()}  # type: ignore[union-attr]
        parts = re.split(r"^-- on (.+)$", printed, flags=re.M)[1:]
        assert sorted(parts[::2]) == sorted(servers)
        for server, part in zip(parts[::2], parts[1::2], strict=True):
            execute(servers[server], *re.findall(r"^[A-Z].*(?=;$)", part, re.M))

    def rows_of(self, role: str, table: str) -> int:
        return int(rows(self.admin_dsns[role], f"SELECT COUNT(*) FROM {table}")[0][0])

    def drop_accounts(self) -> None:
        """The run's server goes on; what was made on it goes."""
        for role, dsn in self._dsns:
            execute(dsn, f"DROP USER IF EXISTS '{role}_{self._mark}'@'{HOST}', '{self._migrator[0]}'@'{HOST}'")
        for dsn in sorted(set(self.admin_dsns.values())):
            execute(dsn, f"DROP DATABASE {make_url(dsn).database}")


def command(placement: Placement, *words: str, **variables: str) -> str:
    """A `xinyu` command on the configuration of a placement; what it printed."""
    [node] = placement.nodes.values()
    done = subprocess.run(
        [sys.executable, "-m", "xinyu", *words, *node.config_arguments],
        cwd=ROOT,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_rights_of_migrations_are_those_that_the_page_gives() -> None:
    assert f"GRANT {DDL} ON " in (ROOT / "docs" / "howto" / "databases.md").read_text(encoding="utf-8")


@pytest.fixture(params=[one_schema, schema_each, server_each], ids=lambda layout: layout.__name__)
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    layout: Callable[[pytest.FixtureRequest], dict[str, str]] = request.param
    found = Databases(layout(request))
    yield found
    found.drop_accounts()


@pytest.fixture
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placement]:
    """A server with every role, each on its own account."""
    settings: dict[str, Any] = {"storage": {"dsn": "sqlite:///nowhere/x.db", "dsn_by_role": databases.dsn_by_role}}
    placement = monolith(tmp_path_factory.mktemp("server"), settings)
    databases.migrate(placement)
    databases.grant(placement)
    placement.up()
    try:
        yield placement
        placement.down()
    finally:
        for node in placement.nodes.values():
            if node.running:
                node.kill()


async def test_a_story_in_each_layout_of_databases(databases: Databases, server: Placement, tmp_path: Path) -> None:
    async with Town(server) as town:
        ann, bob = await town.person("Ann"), await town.person("Bob")
        await befriend(ann, bob)
        group = Talk.group(await ann.client.groups.create("The two of us", [bob.uid]))
        await ann.client.messages.send(bob.talk, "text", {"content": "hello Bob"})
        await bob.client.messages.send(group, "text", {"content": "hello all"})
        file = write_file(tmp_path / "notes.bin", UPLOAD_BYTES)
        await ann.client.media.upload(file)
        before = await everything(ann, bob, group)
        assert [texts[0] for texts in before["texts"]] == ["hello Bob", "hello all"]
        await server.restart()
        assert await everything(ann, bob, group) == before
        await bob.client.messages.send(ann.talk, "text", {"content": "still here"})
        assert (await ann.client.messages.records(bob.talk))[0].text == "still here"
        town.check()
    kept = {"user": "user_account", "contact": "contact_link", "group": "group_member", "media": "media_object"}
    for role, table in kept.items():
        assert await asyncio.to_thread(databases.rows_of, role, table) >= 1
    assert await asyncio.to_thread(databases.rows_of, "message", "message_entry") >= 4


async def everything(ann: Person, bob: Person, group: Talk) -> dict[str, Any]:
    """What the two find over REST."""
    return {
        "texts": [[m.text for m in await ann.client.messages.records(talk)] for talk in (bob.talk, group)],
        "members": [member.user_id for member in await bob.client.groups.members(group.to_from_id)],
        "contacts": [contact.user_id for contact in await bob.client.contacts.list()],
        "talks": [line.talk for line in await bob.client.talks.list()],
        "name": (await ann.client.user.detail()).nickname,
    }
