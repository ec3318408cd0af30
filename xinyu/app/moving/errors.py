"""Why data was not moved."""

from __future__ import annotations


class MoveError(Exception):
    """A move that is refused, or one that failed; the message is one line, without passwords."""
