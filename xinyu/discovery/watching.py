"""How changes reach those who wait for them: the newest state, never a queue of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from xinyu.discovery.types import Instance

Snapshot = tuple[Instance, ...]


class Feed:
    """The known instances of one role, by node name, and who waits for their next change."""

    def __init__(self, instances: Iterable[Instance] = ()) -> None:
        self.instances: Snapshot = _sorted(instances)
        self.version = 0
        self.ended = False
        self._changed = asyncio.Event()

    def publish(self, instances: Iterable[Instance]) -> None:
        """Show these from now on. Wakes the waiting only if they differ from what was shown."""
        snapshot = _sorted(instances)
        if snapshot != self.instances:
            self.instances = snapshot
            self.version += 1
            self._wake()

    def end(self) -> None:
        """No more changes: iterations stop."""
        self.ended = True
        self._wake()

    async def changed(self) -> None:
        """Return at the next change, or at the end."""
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Watch:
    """One consumer's look at a role. Iterating gives the present snapshot and then each newer one.

    Changes coalesce: who is slow sees the newest state, so nothing is ever queued. The iteration stops when the
    registry is closed. `instances` is always the newest, whether or not anybody iterates.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._seen = -1

    @property
    def instances(self) -> Snapshot:
        """What is known now, in all states, by node name."""
        return self._feed.instances

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Snapshot:
        while self._seen == self._feed.version:
            if self._feed.ended:
                raise StopAsyncIteration
            await self._feed.changed()
        self._seen = self._feed.version
        return self._feed.instances


def _sorted(instances: Iterable[Instance]) -> Snapshot:
    return tuple(sorted(instances, key=lambda instance: instance.node))
