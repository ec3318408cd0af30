"""How everything is made: infrastructure, stores, services, gateways. Imported by the supervisor alone.

No `Resource`, no `@inject`, no `wire()`: providers are plain factories, and what needs starting is started by the
supervisor (ADR 0003). Services hold stubs of other domains' ports, so the order here does not matter.
"""

from __future__ import annotations

from dependency_injector import containers, providers

from xinyu.app.placement import Placement
from xinyu.app.settings import Settings
from xinyu.kernel.clock import SystemClock
from xinyu.presence.service import PresenceService
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import NodeRef
from xinyu.storage.sql import Database, open_database
from xinyu.telemetry.metrics import Metrics


class Databases:
    """One `Database` per DSN, whichever roles share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, Database] = {}

    def dsn_of(self, role: str) -> str:
        """The DSN of a role, `{data_dir}` filled in."""
        storage = self._settings.storage
        dsn = storage.dsn_by_role.get(role, storage.dsn)
        return dsn.replace("{data_dir}", str(self._settings.data_dir.absolute()))

    def of_role(self, role: str) -> Database:
        """The database of a role."""
        dsn, storage = self.dsn_of(role), self._settings.storage
        if dsn not in self._open:
            self._open[dsn] = open_database(
                dsn,
                sqlite_readers=storage.sqlite_readers,
                sqlite_inline=storage.sqlite_inline,
                mysql_pool_size=storage.mysql_pool_size,
                mysql_lock_wait_seconds=storage.mysql_lock_wait_seconds,
                slow_ms=storage.slow_transaction_ms,
            )
        return self._open[dsn]

    def all_open(self) -> list[Database]:
        """Those that some role asked for."""
        return list(self._open.values())


class Container(containers.DeclarativeContainer):
    """All providers. `settings` and `epoch` are given by the supervisor."""

    settings = providers.Dependency(instance_of=Settings)
    epoch = providers.Dependency(instance_of=int)

    # --- infrastructure
    clock = providers.Singleton(SystemClock)
    metrics = providers.Singleton(Metrics)
    placement = providers.Singleton(Placement, metrics)
    databases = providers.Singleton(Databases, settings)
    node_ref = providers.Singleton(lambda settings, epoch: NodeRef(settings.node, epoch), settings, epoch)

    # --- presence
    presence_store = providers.Singleton(MemoryPresenceStore)
    presence_service = providers.Singleton(
        PresenceService, presence_store, clock, settings.provided.presence.lease_seconds
    )
