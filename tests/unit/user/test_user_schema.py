"""What the migrations make is what the tables say, and what the store counts on."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from testkit.users import HISTORY, ORIGIN, UserDomain, user_domain
from xinyu.storage.migrations import upgrade
from xinyu.storage.sql import Database
from xinyu.user.tables import METADATA


async def test_migrations_make_the_tables(database: Database) -> None:
    await upgrade(database, HISTORY)

    def compare(connection: Connection) -> list[object]:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    assert await database.read(compare) == []


async def test_migrating_again_changes_nothing(database: Database) -> None:
    first = await upgrade(database, HISTORY)
    assert not first.behind
    assert await upgrade(database, HISTORY) == first


async def test_user_ids_count_up_from_a_friendly_number_and_are_never_reused(domain: UserDomain) -> None:
    assert (await domain.register("13800000001")).user_id == 10_000
    assert (await domain.register("13800000002")).user_id == 10_001


async def test_accounts_survive_a_second_migration(database: Database) -> None:
    async with user_domain(database) as domain:
        token = await domain.register("13800000001")
    async with user_domain(database) as domain:
        assert (await domain.accounts.log_in("13800000001", "secret-1", ORIGIN)).user_id == token.user_id
