"""The gateways."""

from __future__ import annotations

from dependency_injector import providers

from xinyu.app.containers.infrastructure import Infrastructure, stub
from xinyu.app.containers.media import MediaContainer
from xinyu.app.settings import Settings
from xinyu.contact.port import ApplicationPort, ContactGroupPort, ContactPort
from xinyu.delivery.port import DeliveryPort
from xinyu.gateway.auth import Door, JwtAuthenticator
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.limits import SharedCounts
from xinyu.gateway.limits_redis import RedisCounts
from xinyu.gateway.ports import Ports
from xinyu.gateway.routes import ERRORS, EVENTS
from xinyu.gateway.services import services_over
from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.endpoint import WebSocketEndpoint
from xinyu.gateway.ws.housekeeping import Housekeeping
from xinyu.gateway.ws.hub import Hub
from xinyu.gateway.ws.order import PushOrder
from xinyu.gateway.ws.requests import Requests
from xinyu.gateway.ws.sessions.opening import Sessions
from xinyu.gateway.ws.sessions.places import Places
from xinyu.group.port import GroupApplyPort, GroupPort, MembershipPort
from xinyu.kernel.clock import Clock
from xinyu.media.port import EmoticonPort, MediaPort, UploadPort
from xinyu.message.port import ConversationPort, DevicePort, MessagePort
from xinyu.presence.port import PresencePort
from xinyu.user.port import AccountPort, CodePort, CredentialPort, LoginPort, ProfilePort


def _hold_seconds(milliseconds: int) -> float:
    return milliseconds / 1000


def _limit_counts(settings: Settings, clock: Clock) -> SharedCounts | None:
    if settings.gateway.limits_store == "memory":
        return None
    return RedisCounts(settings.limits_redis_url, f"{settings.presence.redis_prefix}limits", clock)


class GatewayContainer(MediaContainer):
    """Where clients come in."""

    _mine = Infrastructure.settings.provided.gateway
    _clock = Infrastructure.clock
    ports = providers.Singleton(
        Ports,
        messages=stub(MessagePort),
        conversations=stub(ConversationPort),
        devices=stub(DevicePort),
        presence=stub(PresencePort),
        delivery=stub(DeliveryPort),
        profiles=stub(ProfilePort),
        accounts=stub(AccountPort),
        credentials=stub(CredentialPort),
        logins=stub(LoginPort),
        codes=stub(CodePort),
        contacts=stub(ContactPort),
        contact_applications=stub(ApplicationPort),
        contact_groups=stub(ContactGroupPort),
        groups=stub(GroupPort),
        group_members=stub(MembershipPort),
        group_applications=stub(GroupApplyPort),
        uploads=stub(UploadPort),
        media=stub(MediaPort),
        emoticons=stub(EmoticonPort),
        blobs=MediaContainer.blobs,
    )
    limit_counts = providers.Singleton(_limit_counts, Infrastructure.settings, _clock)
    services = providers.Singleton(services_over, ports, _mine, limit_counts)
    authenticator = providers.Singleton(
        JwtAuthenticator,
        Infrastructure.settings.provided.auth.jwt_secret,
        Infrastructure.settings.provided.auth.jwt_issuer,
        stub(LoginPort),
        _clock,
        _mine.login_cache_seconds,
    )
    error_texts = providers.Singleton(ErrorTexts, providers.Object(ERRORS))
    rest = providers.Singleton(RestApplication, _mine, services, authenticator, Infrastructure.metrics, error_texts)

    hub = providers.Singleton(Hub, _mine.max_sessions, _mine.max_sessions_per_user)
    push_order = providers.Singleton(
        PushOrder, providers.Callable(_hold_seconds, _mine.order_hold_ms), _mine.order_hold_pushes
    )
    deliverer = providers.Singleton(
        SocketDeliverer,
        hub,
        push_order,
        ports,
        services.provided.names,
        services.provided.times,
        _clock,
        _mine.ack_window_frames,
    )
    places = providers.Singleton(
        Places,
        hub,
        ports,
        _clock,
        Infrastructure.node_ref,
        Infrastructure.settings.provided.presence.platforms,
        Infrastructure.settings.provided.presence.lease_seconds,
    )
    sessions = providers.Singleton(
        Sessions,
        hub,
        push_order,
        deliverer,
        ports,
        _clock,
        _mine.catch_up_limit,
        places,
    )
    requests = providers.Singleton(
        Requests,
        providers.Object(EVENTS),
        services,
        error_texts,
        deliverer,
        _mine.max_requests_in_flight,
        _mine.request_timeout_seconds,
    )
    door = providers.Singleton(Door, authenticator, services.provided.limits)
    ws_endpoint = providers.Singleton(
        WebSocketEndpoint, _mine, door, hub, sessions, requests, _clock, Infrastructure.node_ref
    )
    socket_housekeeping = providers.Singleton(
        Housekeeping,
        _mine,
        hub,
        sessions,
        ports,
        _clock,
        Infrastructure.node_ref,
        Infrastructure.settings.provided.presence.renew_seconds,
    )
