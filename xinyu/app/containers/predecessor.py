"""The adapter for the predecessor's processes."""

from __future__ import annotations

from dependency_injector import providers

from xinyu.app.cluster.predecessor import Predecessor
from xinyu.app.containers.gateway import GatewayContainer
from xinyu.app.containers.infrastructure import Infrastructure, stub
from xinyu.app.containers.message import MessageContainer
from xinyu.gateway.predecessor.listener import PredecessorListener
from xinyu.gateway.predecessor.relay import Relay
from xinyu.gateway.predecessor.reporter import PresenceReporter
from xinyu.gateway.predecessor.route import RouteDesk
from xinyu.presence.port import PresencePort


class PredecessorContainer(GatewayContainer, MessageContainer):
    """Its gateways are among the deliverers of `DeliveryContainer`; here is what a gateway has beside."""

    _mine = Infrastructure.settings.provided.predecessor
    _clock = Infrastructure.clock
    predecessor_desk = providers.Singleton(RouteDesk, stub(PresencePort), _mine, _clock)
    predecessor_relay = providers.Singleton(
        Relay,
        stub(PresencePort),
        MessageContainer.deliverers.provided.find,
        Infrastructure.settings.provided.gateway.max_frame_bytes,
    )
    predecessor_listener = providers.Singleton(
        PredecessorListener, _mine, Infrastructure.settings.provided.rpc, predecessor_desk, predecessor_relay
    )
    predecessor_reporter = providers.Singleton(
        PresenceReporter,
        GatewayContainer.hub,
        stub(PresencePort),
        MessageContainer.predecessor_caller,
        _mine,
        predecessor_desk,
        _clock,
    )
    predecessor = providers.Singleton(Predecessor, Infrastructure.settings, predecessor_listener, predecessor_reporter)
