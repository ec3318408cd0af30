"""Where devices talk, through whose doors, and what they write their history in."""

from __future__ import annotations

import math
from collections.abc import Mapping

from xinyu.drill.history import History
from xinyu.kernel.ids import UserId
from xinyu.sdk.types import Talk
from xinyu.simulation.sockets import Doors
from xinyu.simulation.world.loop import SimulationLoop

ROOM, HALL = "room", "hall"
"""The groups, as histories name them; private conversations have other names."""


class Rooms:
    """What all devices of a run share."""

    def __init__(
        self, talks: Mapping[UserId, Mapping[str, Talk]], loop: SimulationLoop, doors: Doors, history: History
    ) -> None:
        """`talks`: by user and by name, how he asks for a conversation."""
        self.loop = loop
        self.doors = doors
        self.history = history
        self.hall_after = math.inf
        """From here on the hall counts; before, its members may come and go."""
        self._talks = talks

    def talks_of(self, uid: UserId) -> Mapping[str, Talk]:
        """A user's conversations by their names, as he asks for them."""
        return self._talks.get(uid, {})

    def places_of(self, uid: UserId) -> list[str]:
        """Those that he sees all of: the room and his private ones."""
        return [where for where in self.talks_of(uid) if where != HALL]

    def counts(self, where: str, seq: int) -> bool:
        """Whether an entry is written down when it is shown; "" is a conversation that nobody asks about."""
        return seq > self.hall_after if where == HALL else where != ""
