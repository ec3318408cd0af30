"""What is to happen in a run, drawn before it begins."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

CHAT_SECONDS = (0.3, 1.5, 3.0, 8.0)
"""Short, so that what goes wrong meets the last words, too; or longer, so that talk goes on after it."""
MESSAGES = (1, 2, 5)
MOST_FAULTS = 3
USUAL = (
    "kill-message", "kill-at-commit", "kill-gateway", "kill-presence", "kill-people",
    "pause-message", "pause-gateway", "pause-presence", "drain-gateway", "drain-message",
    "restart-redis", "stop-redis", "restart-database", "doubtful-commits", "slow-database",
    "cut-link", "stall-link", "blink", "cut-clients", "twin-gateway",
)  # fmt: skip
"""Faults that may come together."""
LAST = ("swallow",)
"""Faults that come alone, when everything was said: what they break is whole only as long as nothing else is said."""
ALL = (*USUAL, *LAST)
TWIN, SLOW = "twin-gateway", "slow-database"
LAST_SHARE = 0.04


class Plan(NamedTuple):
    """A run."""

    chat_seconds: float
    messages: int
    """Of each device, at most."""
    faults: tuple[tuple[float, str], ...]
    """(when after the chat began, which)"""
    last: str = ""
    """The fault after everything else."""

    @property
    def has_visitor(self) -> bool:
        """Whether somebody comes and vanishes with his gateway."""
        return any(name == TWIN for _, name in self.faults)

    @property
    def has_moves(self) -> bool:
        """Whether rights in a group change all the time."""
        return any(name == SLOW for _, name in self.faults)


def draw(rng: random.Random, only: Sequence[str]) -> Plan:
    """A plan of these faults; of all where there are none. "none" is a run in which nothing goes wrong."""
    chat = rng.choice(CHAT_SECONDS), rng.choice(MESSAGES)
    if "none" in only:
        return Plan(*chat, ())
    last = [name for name in LAST if name in only] if only else list(LAST)
    usual = [name for name in only if name not in LAST] if only else list(USUAL)
    if last and (not usual or rng.random() < LAST_SHARE):
        return Plan(*chat, (), rng.choice(last))
    count = rng.randint(1, MOST_FAULTS)
    return Plan(*chat, tuple((rng.uniform(0.0, chat[0]), rng.choice(usual)) for _ in range(count)))
