"""Effects of contact and group, carried out in the log."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import ConversationId
from xinyu.message.port import EffectPort
from xinyu.message.pusher import Pusher
from xinyu.message.store import EffectStore
from xinyu.message.types import Effect


class EffectService(EffectPort):
    """Serves `EffectPort`."""

    def __init__(self, store: EffectStore, pusher: Pusher, clock: Clock) -> None:
        self._store = store
        self._pusher = pusher
        self._clock = clock

    async def apply(self, effect: Effect) -> ConversationId:
        conversation_id, appended = await self._store.apply(effect, self._clock.now_ms())
        if appended:
            self._pusher.push(appended)
        return conversation_id
