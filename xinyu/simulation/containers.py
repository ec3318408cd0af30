"""Containers of processes, used again: making one takes longer than a second of a run."""

from __future__ import annotations

from xinyu.app.containers.container import Container, make_container
from xinyu.app.settings import Settings


class Containers:
    """Gives containers to lives, and takes all of them back when the run is over."""

    def __init__(self) -> None:
        self._free: list[Container] = []
        self._given: list[Container] = []

    def take(self, settings: Settings, epoch: int) -> Container:
        """One that has made nothing yet."""
        container = self._free.pop() if self._free else make_container(settings, epoch)
        self._given.append(container)
        container.override_providers(settings=settings, epoch=epoch)
        return container

    def take_back(self) -> None:
        """All that were given: nobody uses them any more."""
        for container in self._given:
            for provider in container.providers.values():
                provider.reset_override()
            container.reset_singletons()
        self._free += self._given
        self._given.clear()
