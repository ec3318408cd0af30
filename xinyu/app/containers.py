"""How everything is made: infrastructure, stores, services, gateways. Imported by the supervisor alone.

No `Resource`, no `@inject`, no `wire()`: providers are plain factories, and what needs starting is started by the
supervisor (ADR 0003). Services hold stubs of other domains' ports, so the order here does not matter.
"""

from __future__ import annotations

from pathlib import Path

from dependency_injector import containers, providers

from xinyu.app.placement import Placement
from xinyu.app.settings import Settings
from xinyu.group.applications import GroupApplyService
from xinyu.group.changes import Changes as GroupChanges
from xinyu.group.effects import apply_with as apply_group_effects_with
from xinyu.group.memberships import MembershipService
from xinyu.group.service import GroupService
from xinyu.group.store_sql import GroupStoreSql
from xinyu.group.tables import group_effect
from xinyu.kernel.clock import SystemClock
from xinyu.media.assembly import Assembler, UploadSweep
from xinyu.media.blobs_local import LocalBlobs
from xinyu.media.filing import Filing
from xinyu.media.images_pillow import PillowImages
from xinyu.media.service import EmoticonService, MediaService
from xinyu.media.store_sql import MediaStoreSql
from xinyu.media.uploads import UploadService
from xinyu.message.port import EffectPort
from xinyu.presence.service import PresenceService
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import NodeRef
from xinyu.storage.effects import EffectLog, EffectRelay
from xinyu.storage.sql import Database, open_database
from xinyu.telemetry.metrics import Metrics
from xinyu.user.port import ProfilePort


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


def local_blobs(settings: Settings) -> LocalBlobs:
    """The folder of uploaded files, `{data_dir}` filled in."""
    root = settings.media.blob_dir.replace("{data_dir}", str(settings.data_dir.absolute()))
    return LocalBlobs(Path(root), settings.media.min_free_bytes)


def pillow_images(settings: Settings) -> PillowImages:
    """Decodes as many images at once as the settings say."""
    media = settings.media
    return PillowImages(media.max_image_pixels, media.thumbnail_pixels, media.image_workers, media.image_queue)


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

    # --- group
    group_database = databases.provided.of_role.call("group")
    group_effects = providers.Singleton(EffectLog, group_database, group_effect, clock)
    group_relay = providers.Singleton(
        EffectRelay,
        group_effects,
        providers.Singleton(apply_group_effects_with, placement.provided.stub.call(EffectPort)),
        clock,
        "group",
    )
    group_store = providers.Singleton(GroupStoreSql, group_database, group_effects)
    group_changes = providers.Singleton(
        GroupChanges, group_store, placement.provided.stub.call(ProfilePort), group_relay.provided.carry_out, clock
    )
    group_service = providers.Singleton(GroupService, group_store, group_changes, settings.provided.group)
    membership_service = providers.Singleton(MembershipService, group_store, group_changes, settings.provided.group)
    group_apply_service = providers.Singleton(GroupApplyService, group_store, group_changes)

    # --- media (gateways are given `blobs` too: bytes go past RPC, ADR 0006)
    blobs = providers.Singleton(local_blobs, settings)
    images = providers.Singleton(pillow_images, settings)
    media_store = providers.Singleton(MediaStoreSql, databases.provided.of_role.call("media"))
    filing = providers.Singleton(Filing, blobs, images, clock, settings.provided.media)
    assembler = providers.Singleton(Assembler, media_store, blobs, filing, clock, settings.provided.media)
    upload_service = providers.Singleton(
        UploadService, media_store, blobs, filing, assembler, clock, settings.provided.media
    )
    media_service = providers.Singleton(MediaService, media_store)
    emoticon_service = providers.Singleton(EmoticonService, media_store, clock, settings.provided.media)
    upload_sweep = providers.Singleton(UploadSweep, media_store, blobs, clock, settings.provided.media)
