"""Incoming messages of all conversations: entries in, one stream out that is ordered within each conversation.

What the application has taken is the cursor. What it has not taken waits here, bounded: beyond the bound entries are
forgotten and read from the log later (`catchup`), so a slow reader costs time, never messages or memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from xinyu.kernel.errors import XinyuError
from xinyu.sdk.errors import ContractViolation
from xinyu.sdk.ordering import Gap, Sequencer
from xinyu.sdk.types import Message, Talk


class Inbox:
    """What has come and was not taken yet. One per client, one reader; asks nobody anything."""

    def __init__(self, room: int, total_room: int, wanting: Callable[[int], None]) -> None:
        """Holds `room` entries per conversation, about `total_room` in all.

        `wanting(talk_id)` is called when a conversation can go on only with entries from the log.
        """
        self._room = room
        self._total_room = total_room
        self._wanting = wanting
        self._lines: dict[int, Sequencer[Message]] = {}
        self._talks: dict[int, Talk] = {}
        self._queue: deque[int] = deque()  # conversations with something to take, in turn
        self._queued: set[int] = set()
        self._held = 0
        self._marked: dict[int, int] = {}  # cursors as last seen here
        self._moved: set[int] = set()
        self._wake = asyncio.Event()
        self._end: XinyuError | None = None
        self._closed = False

    # The application's side.

    async def next(self) -> Message | None:
        """The next message, waiting for one; None after `close`. Raises the error the client ended with.

        A message counts as seen when this returns it.
        """
        while True:
            while self._queue:
                talk_id = self._queue.popleft()
                self._queued.discard(talk_id)
                line = self._lines[talk_id]
                before = line.held
                message = line.pop()
                self._settle(talk_id, before)
                if message is not None:
                    return message
            if self._end is not None:
                raise self._end
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()

    def close(self, error: XinyuError | None = None) -> None:
        """Nothing more will come; the reader gets what is ready, then `error` or the end."""
        self._end = self._end or error
        self._closed = True
        self._wake.set()

    # Cursors.

    @property
    def cursors(self) -> dict[int, int]:
        """By conversation, the `seq` up to which everything was taken."""
        return {talk_id: line.cursor for talk_id, line in self._lines.items() if line.begun}

    @property
    def frontiers(self) -> dict[int, int]:
        """By conversation, the `seq` up to which nothing is missing here."""
        return {talk_id: line.frontier for talk_id, line in self._lines.items() if line.begun}

    @property
    def unplaced(self) -> list[int]:
        """Conversations that were pushed to, but of which it is not known where to begin."""
        return [talk_id for talk_id, line in self._lines.items() if not line.begun]

    @property
    def conversations(self) -> list[int]:
        return list(self._lines)

    def changed(self) -> dict[int, int]:
        """Cursors that moved since the last call."""
        changed = {talk_id: self._lines[talk_id].cursor for talk_id in self._moved}
        self._moved = set()
        return changed

    def unchanged(self, talk_ids: Sequence[int]) -> None:
        """Count these cursors as moved again: telling somebody about them failed."""
        self._moved.update(talk_ids)

    def restore(self, cursors: dict[int, int]) -> None:
        """Begin with cursors of an earlier life."""
        for talk_id, cursor in cursors.items():
            self._lines[talk_id] = Sequencer(cursor, self._room)
            self._marked[talk_id] = cursor

    def begin(self, talk_id: int, cursor: int | None) -> None:
        """Begin a conversation after `cursor`, or before its first push. No effect on one that has begun."""
        line = self._lines[talk_id]
        line.begin(cursor)
        self._settle(talk_id, line.held)

    # Entries.

    def put(self, message: Message) -> None:
        """One entry by itself: pushed, or our own message by its receipt."""
        line = self._line(message.talk_id, message.talk)
        before = line.held
        if self._held >= self._total_room:
            line.note(message.seq)
        else:
            line.push(message.seq, message)
        self._settle(message.talk_id, before)

    def note(self, talk_id: int, talk: Talk, last_seq: int) -> None:
        """The conversation's log goes up to `last_seq`."""
        line = self._line(talk_id, talk)
        line.note(last_seq)
        self._settle(talk_id, line.held)

    def page(self, talk_id: int, after: int, messages: Sequence[Message], upto: int) -> None:
        """What the log has readable in (after, upto]. Raises ContractViolation when it is not ascending within that."""
        seqs = [message.seq for message in messages]
        if any(low >= high for low, high in zip([after, *seqs], [*seqs, upto + 1], strict=True)):
            raise ContractViolation(f"entries after {after} came as {seqs[:5]}…")
        line = self._lines[talk_id]
        if self._held >= self._total_room and messages:
            line.note(upto)
        else:
            before = line.held
            line.page(after, [(message.seq, message) for message in messages], upto)
            self._settle(talk_id, before)

    def gap(self, talk_id: int) -> Gap | None:
        """What this conversation needs from the log to go on."""
        return self._lines[talk_id].gap()

    def waits_behind_gap(self, talk_id: int) -> bool:
        """Whether entries are held back by missing ones, which may be just late."""
        return self._lines[talk_id].held > 0

    def talk(self, talk_id: int) -> Talk:
        """How requests name the conversation."""
        return self._talks[talk_id]

    def look_at(self, talk_id: int) -> None:
        """Offer what is ready, ask for what is missing."""
        line = self._lines[talk_id]
        if line.ready:
            if talk_id not in self._queued:
                self._queued.add(talk_id)
                self._queue.append(talk_id)
            self._wake.set()
        elif not line.begun or line.gap() is not None:
            self._wanting(talk_id)

    def _line(self, talk_id: int, talk: Talk) -> Sequencer[Message]:
        self._talks[talk_id] = talk
        line = self._lines.get(talk_id)
        if line is None:
            line = self._lines[talk_id] = Sequencer(None, self._room)
        return line

    def _settle(self, talk_id: int, held_before: int) -> None:
        line = self._lines[talk_id]
        self._held += line.held - held_before
        if line.begun and line.cursor != self._marked.get(talk_id):
            self._marked[talk_id] = line.cursor
            self._moved.add(talk_id)
        self.look_at(talk_id)
