"""Presence, delivery and the message domain: the way of a message."""

from __future__ import annotations

from dependency_injector import providers

from xinyu.app.cluster.deliverers import NodeDeliverers
from xinyu.app.cluster.links import Links
from xinyu.app.cluster.placement import Placement
from xinyu.app.cluster.predecessor import MixedDeliverers, caller_of, gateways_of
from xinyu.app.containers.infrastructure import Infrastructure, database_of, stub
from xinyu.app.settings import Settings
from xinyu.delivery.fanout import DeliveryService
from xinyu.delivery.nodes import Deliverers, LocalDeliverers
from xinyu.delivery.port import CompletionPort, DelivererPort, DeliveryPort
from xinyu.delivery.queue import PushQueue, QueuedDelivery
from xinyu.delivery.queue_memory import MemoryPushQueue
from xinyu.delivery.queue_redis import RedisPushQueue
from xinyu.gateway.predecessor.calling import Caller
from xinyu.kernel.clock import Clock
from xinyu.media.port import MediaPort
from xinyu.message.addressing import Conversations
from xinyu.message.appender import Appender
from xinyu.message.conversations import ConversationService
from xinyu.message.devices import DeviceService
from xinyu.message.effects import EffectService
from xinyu.message.files import FileEnricher
from xinyu.message.outbox import OutboxRun
from xinyu.message.pusher import Pusher
from xinyu.message.sending import Sender
from xinyu.message.service import MessageService
from xinyu.message.store_sql.devices import DeviceStoreSql
from xinyu.message.store_sql.effects import EffectStoreSql
from xinyu.message.store_sql.lists import ListStoreSql
from xinyu.message.store_sql.log import LogStoreSql
from xinyu.message.store_sql.outbox import OutboxStoreSql
from xinyu.presence.port import PresencePort
from xinyu.presence.service import PresenceService
from xinyu.presence.settings import PresenceSettings
from xinyu.presence.store import PresenceStore
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.store_redis import RedisPresenceStore
from xinyu.presence.types import NodeRef
from xinyu.storage.redis import RedisDatabase
from xinyu.storage.sql import Database

SHORTEST_QUEUE_TIMEOUT = 1.0
"""In seconds: reading a stream waits for news, which must not look like a Redis that is away."""


def _lanes(database: Database, batches_in_flight: int) -> int:
    """SQLite has one writer; on MySQL several batches are in flight, on disjoint conversations."""
    return 1 if database.dialect == "sqlite" else batches_in_flight


def _keeps_outbox(settings: Settings) -> bool:
    """Delivered rows are kept for replay where presence may lose its memory without this process (Redis)."""
    return settings.presence.store != "memory"


def _redis(settings: PresenceSettings) -> RedisDatabase | None:
    if settings.store == "memory":
        return None
    return RedisDatabase(settings.redis_url, settings.redis_pool_size, settings.redis_timeout_seconds)


def _presence_store(settings: PresenceSettings, redis: RedisDatabase | None) -> PresenceStore:
    if redis is None:
        return MemoryPresenceStore()
    return RedisPresenceStore(redis, settings.lease_seconds, settings.redis_prefix)


def _queue_redis(settings: Settings) -> RedisDatabase | None:
    if settings.delivery.queue == "local":
        return None
    presence = settings.presence
    timeout_seconds = max(SHORTEST_QUEUE_TIMEOUT, presence.redis_timeout_seconds)
    return RedisDatabase(settings.queue_redis_url, presence.redis_pool_size, timeout_seconds)


def _push_queue(settings: Settings, redis: RedisDatabase | None, clock: Clock) -> PushQueue:
    if redis is None:
        return MemoryPushQueue(settings.delivery.queue_pushes, settings.delivery.queue_push_bytes)
    return RedisPushQueue(redis, settings.presence.redis_prefix, settings.delivery, clock)


def _outlet(settings: Settings, delivery: DeliveryPort, queue: PushQueue) -> DeliveryPort:
    """Where committed entries are handed over: by a call to whoever hosts delivery, or through the queue."""
    return delivery if settings.delivery.queue == "local" else QueuedDelivery(queue, delivery)


def _backlog(settings: Settings, queue: PushQueue) -> PushQueue | None:
    """A queue that outlives the processes."""
    return None if settings.delivery.queue == "local" else queue


def _node_deliverers(here: NodeRef, deliverer: DelivererPort, placement: Placement, links: Links | None) -> Deliverers:
    if links is None:
        return LocalDeliverers(here, deliverer)
    return NodeDeliverers(here, deliverer if DelivererPort in placement.local_ports() else None, links)


def _deliverers(settings: Settings, ours: Deliverers, placement: Placement, caller: Caller) -> Deliverers:
    if not settings.predecessor.enabled:
        return ours
    return MixedDeliverers(ours, gateways_of(settings, placement, caller))


class PresenceContainer(Infrastructure):
    """Who is connected where."""

    presence_redis = providers.Singleton(_redis, Infrastructure.settings.provided.presence)
    presence_store = providers.Singleton(_presence_store, Infrastructure.settings.provided.presence, presence_redis)
    presence_service = providers.Singleton(
        PresenceService,
        presence_store,
        Infrastructure.clock,
        Infrastructure.settings.provided.presence.lease_seconds,
    )


class DeliveryContainer(PresenceContainer):
    """The fan-out."""

    predecessor_caller = providers.Singleton(caller_of, Infrastructure.settings)
    deliverers = providers.Singleton(
        _deliverers,
        Infrastructure.settings,
        providers.Singleton(
            _node_deliverers,
            Infrastructure.node_ref,
            stub(DelivererPort),
            Infrastructure.placement,
            Infrastructure.links,
        ),
        Infrastructure.placement,
        predecessor_caller,
    )
    queue_redis = providers.Singleton(_queue_redis, Infrastructure.settings)
    push_queue = providers.Singleton(_push_queue, Infrastructure.settings, queue_redis, Infrastructure.clock)
    delivery_service = providers.Singleton(
        DeliveryService,
        stub(PresencePort),
        stub(CompletionPort),
        deliverers,
        Infrastructure.settings.provided.delivery,
        push_queue,
    )
    outlet = providers.Singleton(_outlet, Infrastructure.settings, stub(DeliveryPort), push_queue)
    backlog = providers.Singleton(_backlog, Infrastructure.settings, push_queue)


class MessageContainer(DeliveryContainer):
    """The log."""

    _mine = Infrastructure.settings.provided.message
    _clock = Infrastructure.clock
    message_db = database_of("message")
    _keep = providers.Callable(_keeps_outbox, Infrastructure.settings)
    log_store = providers.Singleton(LogStoreSql, message_db, _keep)
    list_store = providers.Singleton(ListStoreSql, message_db)
    device_store = providers.Singleton(DeviceStoreSql, message_db)
    outbox_store = providers.Singleton(OutboxStoreSql, message_db, _keep)
    effect_store = providers.Singleton(EffectStoreSql, message_db)
    conversations = providers.Singleton(Conversations, log_store, _mine.conversation_cache)
    pusher = providers.Singleton(
        Pusher, DeliveryContainer.outlet, outbox_store, _clock, _mine.push_queue, _mine.push_queue_bytes
    )
    appender = providers.Singleton(
        Appender, log_store, pusher, _clock, _mine, providers.Callable(_lanes, message_db, _mine.batches_in_flight)
    )
    file_enricher = providers.Singleton(FileEnricher, stub(MediaPort))
    sender = providers.Singleton(Sender, log_store, conversations, appender, file_enricher, _clock, _mine)
    message_service = providers.Singleton(
        MessageService,
        log_store,
        device_store,
        conversations,
        sender,
        pusher,
        _clock,
        _mine,
    )
    conversation_service = providers.Singleton(
        ConversationService,
        list_store,
        device_store,
        conversations,
        pusher,
        stub(DeliveryPort),
        stub(PresencePort),
        _clock,
    )
    device_service = providers.Singleton(DeviceService, device_store, _clock)
    effect_service = providers.Singleton(EffectService, effect_store, pusher, _clock)
    outbox_run = providers.Singleton(
        OutboxRun, outbox_store, pusher, stub(PresencePort), _clock, _mine, DeliveryContainer.backlog
    )
