"""Groups of contacts on SQLite and MySQL."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.contact.errors import ContactGroupNotFound, NotAContact
from xinyu.contact.store import ContactGroupStore
from xinyu.contact.tables import groups, links, owners
from xinyu.contact.types import NO_GROUP, ContactGroup, ContactGroupDraft, ContactGroupId
from xinyu.kernel.ids import UserId
from xinyu.storage.schema import for_update, insert_new
from xinyu.storage.sql import Database


class SqlContactGroupStore(ContactGroupStore):
    """An owner's list changes under the lock of his row in contact_owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_groups(self, owner_id: UserId) -> list[ContactGroup]:
        return await self._database.read(lambda connection: _list_groups(connection, owner_id))

    async def change_groups(
        self, owner_id: UserId, decide: Callable[[list[ContactGroup]], list[ContactGroupDraft]]
    ) -> None:
        def work(connection: Connection) -> None:
            _lock_owner(connection, owner_id)
            before = _list_groups(connection, owner_id)
            drafts = decide(before)
            _remove(connection, owner_id, {group.group_id for group in before} - {draft.group_id for draft in drafts})
            for draft in drafts:
                values = {"name": draft.name, "sort": draft.sort}
                if draft.group_id:
                    connection.execute(sa.update(groups).where(groups.c.id == draft.group_id).values(values))
                else:
                    connection.execute(sa.insert(groups).values(owner_id=owner_id, **values))

        await self._database.write(work)

    async def assign(self, owner_id: UserId, contact_id: UserId, group_id: ContactGroupId) -> None:
        mine = sa.select(groups.c.id).where(groups.c.id == group_id, groups.c.owner_id == owner_id)
        move = (
            sa.update(links)
            .where(links.c.owner_id == owner_id, links.c.other_id == contact_id, links.c.friend == 1)
            .values(group_id=group_id)
        )

        def work(connection: Connection) -> None:
            _lock_owner(connection, owner_id)  # or the group might go between the look and the move
            if group_id != NO_GROUP and connection.execute(mine).first() is None:
                raise ContactGroupNotFound()
            if not connection.execute(move).rowcount:
                raise NotAContact()

        await self._database.write(work)


def _lock_owner(connection: Connection, owner_id: UserId) -> None:
    lock = for_update(sa.select(owners.c.owner_id).where(owners.c.owner_id == owner_id))
    if connection.execute(lock).first() is None:
        insert_new(connection, owners, {"owner_id": owner_id, "groups_version": 0})
        connection.execute(lock)


def _list_groups(connection: Connection, owner_id: UserId) -> list[ContactGroup]:
    counts = (
        sa.select(links.c.group_id, sa.func.count().label("contacts"))
        .where(links.c.owner_id == owner_id, links.c.friend == 1, links.c.group_id != NO_GROUP)
        .group_by(links.c.group_id)
    )
    count_of = {row.group_id: row.contacts for row in connection.execute(counts)}
    query = sa.select(groups).where(groups.c.owner_id == owner_id).order_by(groups.c.sort, groups.c.id)
    return [ContactGroup(row.id, row.name, row.sort, count_of.get(row.id, 0)) for row in connection.execute(query)]


def _remove(connection: Connection, owner_id: UserId, group_ids: set[ContactGroupId]) -> None:
    if not group_ids:
        return
    connection.execute(
        sa.update(links).where(links.c.owner_id == owner_id, links.c.group_id.in_(group_ids)).values(group_id=NO_GROUP)
    )
    connection.execute(sa.delete(groups).where(groups.c.owner_id == owner_id, groups.c.id.in_(group_ids)))
