"""Rows of group_apply: statements of the group store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from xinyu.group.store import Answer, NewApplication
from xinyu.group.tables import group_apply, group_info, group_member
from xinyu.group.types import Application, ApplicationStatus
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Role


def read_application(row: Row[Any]) -> Application:
    """A row as the domain sees it."""
    return Application(
        application_id=row.application_id,
        group_id=row.group_id,
        user_id=row.user_id,
        remark=row.remark,
        status=ApplicationStatus(row.status),
        created_ms=row.created_ms,
    )


def list_newest_applications(
    connection: Connection, group_id: GroupId, user_ids: Collection[UserId]
) -> dict[UserId, Application]:
    """The newest application to a group of each of these users."""
    newest = (
        sa.select(sa.func.max(group_apply.c.application_id))
        .where(group_apply.c.group_id == group_id, group_apply.c.user_id.in_(set(user_ids)))
        .group_by(group_apply.c.user_id)
    )
    query = sa.select(group_apply).where(group_apply.c.application_id.in_(newest))
    return {row.user_id: read_application(row) for row in connection.execute(query)}


def pending_for(manager_id: UserId, *columns: Any) -> sa.Select[Any]:
    """Selects of the pending applications to living groups whose owner or admin this is."""
    return (
        sa.select(*columns)
        .select_from(group_apply)
        .join(group_member, group_member.c.group_id == group_apply.c.group_id)
        .join(group_info, group_info.c.group_id == group_apply.c.group_id)
        .where(
            group_member.c.user_id == manager_id,
            group_member.c.left_ms == 0,
            group_member.c.role >= int(Role.ADMIN),
            group_info.c.dismissed_ms == 0,
            group_apply.c.status == int(ApplicationStatus.PENDING),
        )
    )


def insert_application(connection: Connection, group_id: GroupId, application: NewApplication, now_ms: int) -> None:
    """Write a pending application."""
    connection.execute(
        sa.insert(group_apply).values(
            group_id=group_id,
            user_id=application.user_id,
            remark=application.remark,
            status=int(ApplicationStatus.PENDING),
            handler_id=0,
            handler_remark="",
            created_ms=now_ms,
            handled_ms=0,
        )
    )


def answer_applications(connection: Connection, group_id: GroupId, answer: Answer, now_ms: int) -> None:
    """Settle the pending applications of some users to a group."""
    connection.execute(
        sa.update(group_apply)
        .where(
            group_apply.c.group_id == group_id,
            group_apply.c.user_id.in_(set(answer.user_ids)),
            group_apply.c.status == int(ApplicationStatus.PENDING),
        )
        .values(
            status=int(answer.status), handler_id=answer.handler_id, handler_remark=answer.remark, handled_ms=now_ms
        )
    )
