"""The least account of every role: which it is, what it may touch, how it is made."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import NamedTuple

from xinyu.app.databases import Databases
from xinyu.app.moving.schemas import schemas
from xinyu.app.settings import ConfigError, Settings
from xinyu.app.shape import histories_of, roles_of
from xinyu.storage.accounts import Address, account_statements, with_account

PASSWORD_BYTES = 24


class RoleAccount(NamedTuple):
    """A role's account on its server."""

    role: str
    address: Address
    dsn: str
    """What storage.dsn_by_role has for this role, or should have."""
    configured: bool
    """Whether it stands there already; else name and password were made here."""
    tables: list[str]
    version_table: str

    def statements(self, host: str, with_password: bool) -> list[str]:
        """The SQL that makes it, for connections from `host`. A password of the configuration is in it only when
        asked for; one that was made here always is."""
        address = self.address
        shown = address.password if with_password or not self.configured else None
        made = account_statements(
            address.user, host, shown, address.schema, tables=self.tables, read_only=[self.version_table]
        )
        return list(made)


def role_accounts(settings: Settings) -> list[RoleAccount]:
    """The accounts of the hosted roles that keep data in MySQL, in the table's order.

    An account that is one role's alone in storage.dsn_by_role is taken as it is. A role that shares one, with another
    role or with the migrations, gets a name and a password made here. Raises ConfigError when no role is on MySQL."""
    databases, kept = Databases(settings), schemas()
    histories = histories_of(roles_of(settings))
    places = {role: (databases.dsn_of(role), Address.of(databases.dsn_of(role))) for role, _ in histories}
    users = Counter((address.server, address.user) for _, address in places.values() if address is not None)
    accounts = []
    for role, history in histories:
        dsn, address = places[role]
        if address is None:
            continue
        own = role in settings.storage.dsn_by_role and users[address.server, address.user] == 1
        configured = own and address.user not in ("", *_migrating_users(settings, address.server))
        if not configured:
            dsn = with_account(dsn, f"xinyu_{role}", secrets.token_urlsafe(PASSWORD_BYTES))
            address = Address.of(dsn) or address
        tables = sorted(table.name for table in kept[role].tables)
        accounts.append(RoleAccount(role, address, dsn, configured, tables, history.version_table))
    if not accounts:
        raise ConfigError("storage.dsn: no role keeps its data in MySQL; accounts are for mysql://…")
    return accounts


def for_migration(settings: Settings) -> Settings:
    """The settings with which schemas are changed: every DSN with the account of migrations, when there is one."""
    storage = settings.storage
    if not storage.migration_user:
        return settings
    account = storage.migration_user, storage.migration_password
    dsns = {role: with_account(dsn, *account) for role, dsn in storage.dsn_by_role.items()}
    changed = {"dsn": with_account(storage.dsn, *account), "dsn_by_role": dsns}
    return settings.model_copy(update={"storage": storage.model_copy(update=changed)})


def _migrating_users(settings: Settings, server: str) -> list[str]:
    default = Address.of(settings.storage.dsn)
    users = [default.user] if default is not None and default.server == server else []
    return [*users, settings.storage.migration_user]
