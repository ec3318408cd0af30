"""All routes, events and error strings of the gateways, gathered from the domain modules. No logic."""

from __future__ import annotations

from xinyu.gateway.http.call import RawRoute, Route
from xinyu.gateway.http.routes import (
    auth,
    contact,
    contact_apply,
    contact_group,
    group,
    group_apply,
    media,
    message,
    talk,
    user,
)
from xinyu.gateway.ws.events import conversation as conversation_events
from xinyu.gateway.ws.events import legacy as legacy_events
from xinyu.gateway.ws.events import message as message_events
from xinyu.gateway.ws.events import presence as presence_events
from xinyu.gateway.ws.events.event import Event

_MODULES = (auth, contact, contact_apply, contact_group, group, group_apply, media, message, talk, user)

ROUTES: list[Route | RawRoute] = [route for module in _MODULES for route in module.ROUTES]
ERRORS: dict[str, str] = {code: text for module in _MODULES for code, text in module.ERRORS.items()}
EVENTS: dict[str, Event] = {
    **message_events.EVENTS,
    **conversation_events.EVENTS,
    **presence_events.EVENTS,
    **legacy_events.EVENTS,
}
