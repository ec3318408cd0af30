"""Accounts of MySQL in DSNs and in the statements that make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
"""What a service does with its tables. No DDL: that is for migrations."""
MYSQL_PORT = 3306


class Address(NamedTuple):
    """What a DSN of MySQL says: where, and as whom."""

    server: str
    schema: str
    user: str
    password: str

    @classmethod
    def of(cls, dsn: str) -> Address | None:
        """None for a DSN of another engine, and for none at all."""
        try:
            url = sa.make_url(dsn)
        except (sa.exc.ArgumentError, ValueError):
            return None
        if url.get_backend_name() not in ("mysql", "mariadb") or not url.database:
            return None
        server = f"{url.host or 'localhost'}:{url.port or MYSQL_PORT}"
        return cls(server, url.database, url.username or "", url.password or "")


def with_account(dsn: str, user: str, password: str) -> str:
    """The same place for another account; a DSN that is not of MySQL stays as it is."""
    if Address.of(dsn) is None:
        return dsn
    return sa.make_url(dsn).set(username=user, password=password).render_as_string(hide_password=False)


def account_statements(
    user: str, host: str, password: str | None, schema: str, tables: Iterable[str], read_only: Iterable[str]
) -> Iterator[str]:
    """Make an account that may work on `tables` and look at `read_only`, and may do nothing else. Idempotent, and an
    account that exists keeps its password. Without a password the first statement has a gap that no server accepts, to
    be filled by hand."""
    name = f"{_text(user)}@{_text(host)}"
    secret = _text(password) if password is not None else "<its password>"
    yield f"CREATE USER IF NOT EXISTS {name} IDENTIFIED BY {secret}"
    for table in tables:
        yield f"GRANT {RIGHTS} ON {_name(schema)}.{_name(table)} TO {name}"
    for table in read_only:
        yield f"GRANT SELECT ON {_name(schema)}.{_name(table)} TO {name}"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _name(value: str) -> str:
    return "`" + value.replace("`", "``") + "`"
