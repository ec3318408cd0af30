"""REST calls about conversations and messages (CONTRACT.md 1.4 and 1.5), for applications without a connection."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from xinyu.kernel.ids import new_msg_id
from xinyu.sdk.api.rest import Empty, Rest
from xinyu.sdk.types import Conversation, Json, Message, Record, SyncPage, Talk


class _Records(msgspec.Struct):
    items: list[Record]
    cursor: int = 0


class TalksApi:
    """The conversation list."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def _do(self, route: str, talk: Talk, **fields: object) -> None:
        await self._rest.post_as(f"talk/session-{route}", Empty, {**talk.fields(), **fields})

    async def list(self) -> list[Conversation]:
        """The conversation list: pinned first, then the latest."""
        return await self._rest.list_as("talk/session-list", Conversation)

    async def open(self, talk: Talk) -> Conversation:
        """Create the conversation or bring it back into the list."""
        return await self._rest.post_as("talk/session-create", Conversation, talk.fields())

    async def hide(self, talk: Talk) -> None:
        """Take it out of the list; the next message brings it back."""
        await self._do("delete", talk)

    async def pin(self, talk: Talk, pinned: bool = True) -> None:
        """Keep it on top, or no longer."""
        await self._do("top", talk, action=1 if pinned else 2)

    async def mute(self, talk: Talk, muted: bool = True) -> None:
        """Do not disturb, or no longer."""
        await self._do("disturb", talk, action=1 if muted else 2)

    async def clear_unread(self, talk: Talk) -> None:
        """Everything in it is read."""
        await self._do("clear-unread-num", talk)

    async def clear_records(self, talk: Talk) -> None:
        """Delete everything in it for this user."""
        await self._do("clear-records", talk)


class MessagesApi:
    """The log over REST. Its messages have `talk_id` 0: only the connection tells it."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def send(
        self, talk: Talk, kind: str, body: Json, *, msg_id: str | None = None, quote_id: str | None = None
    ) -> Message:
        """Send once. To retry after ConnectionLost, pass the same `msg_id`: it is stored once."""
        draft = {**talk.fields(), "type": kind, "body": body, "msg_id": msg_id or new_msg_id()}
        if quote_id:
            draft["quote_id"] = quote_id
        record = await self._rest.post_as("message/send", Record, draft)
        return record.message(talk, record.talk_id, 0)

    async def records(self, talk: Talk, cursor: int = 0, limit: int = 30) -> list[Message]:
        """Messages with seq < cursor (0: the newest), newest first."""
        return await self._page("message/records", talk, {**talk.fields(), "cursor": cursor, "limit": limit})

    async def history(self, talk: Talk, cursor: int = 0, limit: int = 30, msg_type: int = 0) -> list[Message]:
        """As `records`, of one type only (0 = all)."""
        body = {**talk.fields(), "cursor": cursor, "limit": limit, "msg_type": msg_type}
        return await self._page("message/history-records", talk, body)

    async def forwarded(self, talk: Talk, msg_ids: Sequence[str]) -> list[Message]:
        """The messages inside a merged forward, in the order asked for."""
        body = {"talk_mode": talk.talk_mode, "msg_ids": list(msg_ids)}
        return await self._page("message/forward-records", talk, body)

    async def recall(self, talk: Talk, msg_id: str) -> None:
        """Take back an own message for everybody. ApiError 403 when it is not own or too old."""
        await self._rest.post_as("message/revoke", Empty, {**talk.fields(), "msg_id": msg_id})

    async def delete(self, talk: Talk, msg_ids: Sequence[str]) -> None:
        """Delete messages for this user only."""
        await self._rest.post_as("message/delete", Empty, {**talk.fields(), "msg_ids": list(msg_ids)})

    async def set_status(self, talk: Talk, msg_id: str, status: int) -> None:
        """Set the status (1 to 3) of an own message."""
        await self._rest.post_as("message/status", Empty, {**talk.fields(), "msg_id": msg_id, "status": status})

    async def sync(self, cursors: dict[int, int] | None = None, since_ms: int | None = None) -> SyncPage:
        """What was missed, for clients that poll (CONTRACT.md 2.6). The page as the server gave it."""
        body: dict[str, object] = {}
        if cursors is not None:
            body["cursors"] = {str(talk_id): seq for talk_id, seq in cursors.items()}
        if since_ms is not None:
            body["since_ms"] = since_ms
        return await self._rest.post_as("message/sync", SyncPage, body)

    async def _page(self, path: str, talk: Talk, body: Json) -> list[Message]:
        page = await self._rest.post_as(path, _Records, body)
        return [record.message(talk, record.talk_id, 0) for record in page.items]
