"""Ports of the message domain: the log (`MessagePort`), the list (`ConversationPort`), devices (`DevicePort`),
and what the domains above make of it (`EffectPort`)."""

from __future__ import annotations

from xinyu.kernel.ids import ConversationId, DeviceId, MsgId, UserId
from xinyu.kernel.port import Port, rpc
from xinyu.message.types import (
    ConversationView,
    DeviceCursor,
    DeviceState,
    Effect,
    Entry,
    ForwardTarget,
    NewMessage,
    Page,
    Ref,
    SendResult,
    SyncPage,
)

MAX_FORWARDED = 100
"""Messages that one forward sends on."""
MAX_FORWARD_TARGETS = 50


class MessagePort(Port):
    """The conversation log."""

    @rpc(308, idempotent=True)
    async def send(self, sender_id: UserId, draft: NewMessage) -> SendResult:
        """Append `draft`, commit, return it with its seq (G1, G2). The same msg_id again with the same content returns
        the stored message, whatever happened since. Raises NotAMember, SenderMuted, ConversationClosed, BadContent,
        EmptyMessage, MessageTooLong, UnknownType, BadQuote, BadMsgId, MsgIdConflict, QueueFull; ConversationBusy,
        AppenderStopped and what the database raises mean: try again under the same msg_id."""

    @rpc(320, idempotent=True)
    async def forward(
        self,
        sender_id: UserId,
        request_id: str,
        msg_ids: list[MsgId],
        targets: list[Ref],
        merged: bool,
        sender_name: str = "",
        sender_avatar: str = "",
    ) -> list[ForwardTarget]:
        """Send messages that the caller can read on to `targets`: each by itself with its own type and content, or
        `merged` into one forward message per target. Ids derive from `request_id`, so a repetition sends nothing twice.
        A target that fails answers alone. Raises MessageNotFound when none of `msg_ids` is readable, ForwardTooLarge
        for more than MAX_FORWARDED of them or MAX_FORWARD_TARGETS targets."""

    @rpc(307, idempotent=True)
    async def recall(self, user_id: UserId, ref: Ref, msg_id: MsgId, user_name: str = "") -> None:
        """Take a message back: its content is hidden, a recall entry is appended. Again: nothing happens.
        Raises MessageNotFound, NotYourMessage, RecallTooLate."""

    @rpc(304, idempotent=True)
    async def delete(self, user_id: UserId, ref: Ref, msg_ids: list[MsgId]) -> None:
        """Hide messages from `user_id` alone, on all devices. Unknown ids are skipped. Raises NotAMember."""

    @rpc(306, idempotent=True)
    async def clear(self, user_id: UserId, ref: Ref) -> None:
        """Hide all entries up to now from `user_id` alone; nothing of them is unread. Raises NotAMember."""

    @rpc(301, idempotent=True)
    async def history(
        self,
        user_id: UserId,
        ref: Ref,
        before: int = 0,
        after: int | None = None,
        limit: int = 30,
        types: list[int] | None = None,
        tombstones: bool = True,
    ) -> Page:
        """Entries that `user_id` may read: newest first below seq `before` (0: from the newest), or, with `after`,
        oldest first above it. At most min(limit, 200). Without `tombstones`, hidden entries and recall entries are left
        out (recalled messages stay, without content); `types` keeps these types only. An unknown conversation, or one
        the user never was in, reads as empty."""

    @rpc(303, idempotent=True)
    async def list_messages(self, user_id: UserId, msg_ids: list[MsgId]) -> list[Entry]:
        """Messages by id, in the order asked; those that do not exist or that `user_id` may not read are left out.
        The originals of a merged forward that `user_id` can read count as readable. At most 200."""

    @rpc(321, idempotent=True)
    async def sync(
        self,
        user_id: UserId,
        device_id: DeviceId,
        cursors: dict[str, int] | None = None,
        since_ms: int = 0,
        limit: int = 500,
    ) -> SyncPage:
        """What the device has not: entries after `cursors` (without them the server-kept ones of the device), oldest
        first per conversation. Conversations not named count from the join; `since_ms` skips what is older. With
        limit 0, all conversations with their heads and cursors, and no entries. Moves no cursor (CONTRACT.md
        section 2.6)."""

    @rpc(322, idempotent=True)
    async def read_range(self, conversation_id: ConversationId, first_seq: int, last_seq: int) -> list[Entry]:
        """Entries of a conversation by seq, recalled ones as tombstones. For nodes that fill a gap of their members'
        pushes, not for clients: checks no reader."""


class ConversationPort(Port):
    """The conversations of one user, as the list shows them."""

    @rpc(701, idempotent=True)
    async def list_conversations(self, user_id: UserId, at_device: DeviceId | None = None) -> list[ConversationView]:
        """Not hidden ones; pinned first, then by time, newest first. With `at_device`, unread counts only up to what
        that device has while pushes are still owed to it: its client will count those by itself (DESIGN.md section 5,
        *Catch-up*)."""

    @rpc(704, idempotent=True)
    async def open(self, user_id: UserId, ref: Ref) -> ConversationView:
        """Show a conversation in the caller's list, creating a private one. Raises SelfConversation, NotAMember."""

    @rpc(705, idempotent=True)
    async def hide(self, user_id: UserId, ref: Ref) -> None:
        """Take it off the list until its next entry."""

    @rpc(702, idempotent=True)
    async def set_pinned(self, user_id: UserId, ref: Ref, pinned: bool) -> None:
        """Raises NotAMember."""

    @rpc(703, idempotent=True)
    async def set_muted(self, user_id: UserId, ref: Ref, muted: bool) -> None:
        """Raises NotAMember."""

    @rpc(706, idempotent=True)
    async def mark_read(self, user_id: UserId, ref: Ref, seq: int | None = None) -> int:
        """Move the read cursor up to `seq` (None: to the newest), never back; who left gets no further than to his
        leaving. Tells the user's other devices, and the peer of a private conversation where both accept each other's
        messages. Returns the unread count that is left. Raises NotAMember."""

    @rpc(710, idempotent=True)
    async def find_ids(self, user_id: UserId, refs: list[Ref]) -> list[ConversationId | None]:
        """The ids of conversations the user is or was in, in the order asked."""

    @rpc(711, idempotent=True)
    async def list_muted(self, user_id: UserId, refs: list[Ref]) -> list[bool]:
        """Whether the user muted each (do not disturb), in the order asked."""

    @rpc(712)
    async def signal_typing(self, user_id: UserId, ref: Ref) -> None:
        """Tell the others, if they are connected, that the user is writing. Raises NotAMember."""


class DevicePort(Port):
    """Where each device stands."""

    @rpc(720, idempotent=True)
    async def open_device(self, user_id: UserId, device_id: DeviceId, sync: bool) -> list[DeviceState]:
        """A device connects: the heads of its user's conversations and its cursors. The first time without `sync`, its
        cursors are set to the heads. Its presence must be registered before, so that nothing falls between."""

    @rpc(721, idempotent=True)
    async def move_cursors(self, cursors: list[DeviceCursor]) -> None:
        """Store cursors; they never move back. In batches, off the hot path."""

    @rpc(723, idempotent=True)
    async def set_caught_up(self, user_id: UserId, device_id: DeviceId) -> None:
        """What a reconnect owed this device has been pushed."""

    @rpc(722, idempotent=True)
    async def forget_login(self, user_id: UserId, device_id: DeviceId) -> None:
        """Remove a device's cursors with its login."""


class EffectPort(Port):
    """For contact and group: how a change above takes effect in the log."""

    @rpc(730, idempotent=True)
    async def apply(self, effect: Effect) -> ConversationId:
        """Carry out `effect` in one transaction; older parts of it than what is known are skipped. Creates the
        conversation when needed. Returns its id (0 for notices only). Never refuses: rights were checked above."""
