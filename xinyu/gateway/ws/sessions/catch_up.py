"""What a web client missed, pushed when it comes back: in order, as fast as it acknowledges, live pushes behind it.

Its own notices (the *self* conversation) come last, when everything else is out and `session-list` counts all of it:
some of them make the client ask for that list again, and what it is told then must hold (DESIGN.md section 5,
*Catch-up*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xinyu.gateway.ports import Ports
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.frames import RELOAD
from xinyu.gateway.ws.hub import Connection
from xinyu.gateway.ws.patience import Asker
from xinyu.gateway.ws.session import Session, State
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError, code_of
from xinyu.kernel.ids import MAX_JSON_INT, ConversationId
from xinyu.message.types import DeviceState, Entry, Kind, SyncItem, SyncPage
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
PAGE = 500
WAIT_SECONDS = 0.02
Bring = Callable[[Connection, Sequence[Entry]], None]


class CatchUp:
    """Brings opening sessions to where they are live."""

    def __init__(self, deliverer: SocketDeliverer, ports: Ports, clock: Clock) -> None:
        self._deliverer = deliverer
        self._ports = ports
        self._clock = clock
        self._page = max(1, min(PAGE, deliverer.ack_window // 2))

    async def run(self, connection: Connection, behind: list[DeviceState]) -> None:
        """Push what the device missed, then what was held meanwhile; the session is live from then on."""
        session = connection.session
        asker = self._deliverer.patience.of(session)
        is_cut = any(session.pushed[state.conversation_id] > state.cursor for state in behind)
        try:
            own = await self._push_missed(connection, behind, asker)
            await self._push_held(connection)
            if behind and session.state is State.LIVE:
                await asker.told(lambda: self.set_caught_up(session))
            await self._push_own(connection, own, asker)
            if is_cut or asker.was_late:  # the client counts pushes, and some never come, or were on a list before
                connection.put(RELOAD)
        except Exception as error:
            if not isinstance(error, XinyuError):
                log.exception("a client could not be caught up; the stack below says where")
            log.warning("a client that could not be caught up is asked to come back", error=code_of(error))
            connection.close(CloseCode.UNAVAILABLE, "cannot read what was missed: reconnect")

    async def set_caught_up(self, session: Session) -> None:
        """Its device is owed nothing any more. Idempotent; raises what message raises."""
        await self._ports.devices.set_caught_up(session.user_id, session.device_id)
        session.is_behind = False

    async def _push_missed(self, connection: Connection, behind: list[DeviceState], asker: Asker) -> list[Entry]:
        """Everything but the user's own notices, which are returned."""
        session = connection.session
        heads = {state.conversation_id: state.last_seq for state in behind}
        cursors = {str(conversation_id): seq for conversation_id, seq in session.pushed.items()}
        own: list[Entry] = []
        more = bool(behind)
        while more:
            await self._has_room(connection)
            if session.state is State.CLOSED:
                return []
            read = await asker.told(lambda: self._read(session, cursors, heads))
            if read is None:
                return []
            page, missed = read
            for item in page.items:
                head = heads.get(item.conversation_id, 0)
                if item.ref.kind is Kind.SELF:
                    own += _up_to(head, item)
                seen = item.entries[-1].seq if item.entries else 0
                cursors[str(item.conversation_id)] = seen if item.more and seen < head else MAX_JSON_INT
            await self._bring(connection, missed, self._deliverer.bring_missed)
            more = page.more
        if own:
            self._hold_back(connection, own[0].conversation_id)
        for conversation_id, head in heads.items():
            if session.state is State.OPENING and not (own and conversation_id == own[0].conversation_id):
                session.went_out(conversation_id, head, None, self._clock.monotonic())
        return own

    async def _push_held(self, connection: Connection) -> None:
        """Pushes that came meanwhile, until there are none: the session is live then."""
        session = connection.session
        while True:
            await self._has_room(connection)
            if session.state is State.CLOSED:
                return
            held = connection.held or []
            connection.held = held[self._page :]
            if not held:
                connection.held = None
                session.state = State.LIVE
                return
            connection.release(held[: self._page])
            await self._bring(connection, held[: self._page], self._deliverer.bring)

    async def _push_own(self, connection: Connection, own: list[Entry], asker: Asker) -> None:
        if not own:
            return
        named = await asker.told(lambda: self._deliverer.with_names(own)) or []
        for start in range(0, len(named), self._page):
            await self._has_room(connection)
            await self._bring(connection, named[start : start + self._page], self._deliverer.bring_missed)
        self._deliverer.end_filling(connection, own[0].conversation_id, [])

    async def _read(
        self, session: Session, cursors: dict[str, int], heads: Mapping[ConversationId, int]
    ) -> tuple[SyncPage, list[Entry]]:
        """A page of what was missed, and what of it goes out now, with its names."""
        page = await self._ports.messages.sync(session.user_id, session.device_id, cursors, limit=self._page)
        others = (item for item in page.items if item.ref.kind is not Kind.SELF)
        missed = [entry for item in others for entry in _up_to(heads.get(item.conversation_id, 0), item)]
        return page, await self._deliverer.with_names(missed)

    async def _bring(self, connection: Connection, entries: Sequence[Entry], bring: Bring) -> None:
        """Entries of one page, no faster than the socket takes them."""
        for entry in entries:
            if connection.is_half_full:
                await self._has_room(connection)
            bring(connection, [entry])

    def _hold_back(self, connection: Connection, conversation_id: ConversationId) -> None:
        """Let pushes of a conversation wait beyond the others."""
        if connection.filling is None:
            connection.filling = {}
        connection.filling[conversation_id] = []

    async def _has_room(self, connection: Connection) -> None:
        """Return when a page more fits into the windows, or the session is closed."""
        session, most = connection.session, self._deliverer.ack_window - self._page
        while session.state is not State.CLOSED and (session.unacked_count > most or connection.is_half_full):
            await self._clock.sleep(WAIT_SECONDS)


def _up_to(head: int, item: SyncItem) -> list[Entry]:
    """What of it counts as missed: newer entries are pushed, and held."""
    return [entry for entry in item.entries if entry.seq <= head]
