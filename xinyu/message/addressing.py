"""Which conversation a user means."""

from __future__ import annotations

from cachetools import LRUCache

from xinyu.kernel.ids import MAX_JSON_INT, ConversationId, UserId
from xinyu.message.errors import NotAMember
from xinyu.message.store import LogStore
from xinyu.message.types import Kind, Ref, parties_of


class Conversations:
    """Ids of conversations by Ref. They never change, so they are remembered."""

    def __init__(self, store: LogStore, remembered: int) -> None:
        self._store = store
        self._ids: LRUCache[tuple[Kind, tuple[int, int]], ConversationId] = LRUCache(remembered)

    async def find(self, user_id: UserId, ref: Ref) -> ConversationId | None:
        """The id of the conversation that `user_id` names `ref`."""
        if not is_possible(ref):
            return None
        parties = parties_of(ref, user_id)
        found = self._ids.get((ref.kind, parties))
        if found is None:
            found = await self._store.find_conversation(ref.kind, parties)
            if found is not None:
                self._ids[ref.kind, parties] = found
        return found

    async def get(self, user_id: UserId, ref: Ref) -> ConversationId:
        """The same. Raises NotAMember when there is none, for strangers shall not learn which."""
        found = await self.find(user_id, ref)
        if found is None:
            raise NotAMember()
        return found


def is_possible(ref: Ref) -> bool:
    """Whether `ref` can name anything: ids beyond that are no engine's to look up."""
    return 0 < ref.target_id <= MAX_JSON_INT


def clamped(seq: int) -> int:
    """A seq as a client may have made it up, within what engines can compare."""
    return max(-1, min(seq, MAX_JSON_INT))
