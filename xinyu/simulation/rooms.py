"""Where devices talk, through whose doors, and what they write their history in."""

from __future__ import annotations

import math

from xinyu.drill.history import History
from xinyu.message.types import Kind
from xinyu.simulation.sockets import Doors
from xinyu.simulation.world.loop import SimulationLoop

ROOM, HALL = "room", "hall"
"""The conversations, as histories name them."""


class Rooms:
    """What all devices of a run share."""

    def __init__(self, groups: dict[str, int], loop: SimulationLoop, doors: Doors, history: History) -> None:
        """`groups`: group ids by name."""
        self.groups = groups
        self.loop = loop
        self.doors = doors
        self.history = history
        self.hall_after = math.inf
        """From here on the hall counts; before, its members may come and go."""
        self._names = {group_id: name for name, group_id in groups.items()}

    def name_of(self, talk_mode: int, target_id: int) -> str:
        """A conversation's name in the history; "" for one that is not written down."""
        return self._names.get(target_id, "") if talk_mode == Kind.GROUP else ""
