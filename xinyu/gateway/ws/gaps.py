"""What lies between two pushes of a session that lacks it."""

from __future__ import annotations

import asyncio

from xinyu.gateway.names import Names
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.message import with_names
from xinyu.gateway.ws.session import Session, State
from xinyu.message.types import Entry

GAP_PAGE = 200
READS_AT_ONCE = 16
"""A lost push of a large group leaves a gap at thousands of sessions in the same moment."""


class GapReader:
    """Reads what lies between two pushes from the log, with the rights of its reader; for some readers at a time."""

    def __init__(self, ports: Ports, names: Names, most: int) -> None:
        """`most`: entries of one gap that can go out at once."""
        self._ports = ports
        self._names = names
        self._most = most
        self._at_once = asyncio.Semaphore(READS_AT_ONCE)

    async def read(self, session: Session, after: int, entry: Entry) -> list[Entry]:
        """What its user may read after seq `after` and before `entry`, in order. No further than `most` and one more,
        and nothing for a session that is closed: who gets it has to come back. Raises what the log raises."""
        reader, missing = session.user_id, list[Entry]()
        async with self._at_once:
            while session.state is not State.CLOSED and len(missing) <= self._most:
                limit = min(GAP_PAGE, self._most + 1 - len(missing))
                page = await self._ports.messages.history(reader, entry.ref_for(reader), after=after, limit=limit)
                missing += [found for found in page.entries if found.seq < entry.seq]
                if not page.more or not page.entries or page.entries[-1].seq >= entry.seq:
                    return await with_names(missing, self._names)
                after = page.entries[-1].seq
        return missing
