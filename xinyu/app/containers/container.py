"""How everything is made: infrastructure, stores, services, gateways. Imported by the supervisor alone.

No `Resource`, no `@inject`, no `wire()`: providers are plain factories, and what needs starting is started by the
supervisor (ADR 0003). Services hold stubs of other domains' ports, so the order in which things are made does not
matter, and a role that is not hosted is never made.
"""

from __future__ import annotations

from dependency_injector.providers import Object

from xinyu.app.containers.people import ContactContainer, GroupContainer
from xinyu.app.containers.predecessor import PredecessorContainer
from xinyu.app.containers.user import UserContainer
from xinyu.app.settings import Settings


class Container(PredecessorContainer, ContactContainer, GroupContainer, UserContainer):
    """All providers of a process, by the names that the table of roles uses."""


def make_container(settings: Settings, epoch: int) -> Container:
    """The container of one process in one of its lives; makes nothing yet."""
    return Container(settings=Object(settings), epoch=Object(epoch))
