"""What a service asks of others, read from the parameters of everything it is made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, cast, get_type_hints

from dependency_injector.providers import Provider

from xinyu.app.containers.container import Container
from xinyu.gateway.ports import Ports
from xinyu.kernel.port import Port


def ports_asked_by(names: Iterable[str]) -> set[type[Port]]:
    """The ports that these providers of `Container` need, directly or through what they are made of."""
    seen: set[int] = set()
    found: set[type[Port]] = set()
    for name in names:
        _collect(getattr(Container, name), seen, found)
    return found


def _collect(provider: Provider[Any], seen: set[int], found: set[type[Port]]) -> None:
    if id(provider) in seen:
        return
    seen.add(id(provider))
    made = getattr(provider, "provides", None)
    if inspect.isclass(made) or inspect.isfunction(made):
        hints = get_type_hints(made.__init__ if inspect.isclass(made) and made is not Ports else made)
        for name, annotation in hints.items():
            if name != "return" and inspect.isclass(annotation) and Port in annotation.__bases__:
                found.add(cast(type[Port], annotation))
    for related in provider.related:
        if isinstance(related, Provider):
            _collect(related, seen, found)
