"""Times on the contract's edge are local to `gateway.timezone`, with a resolution of a second."""

from __future__ import annotations

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo


class LocalTimes:
    """Formats times; the last second's text is remembered, for most messages of a moment share it."""

    def __init__(self, timezone: str) -> None:
        self.zone = ZoneInfo(timezone)
        self._second = -1
        self._text = ""

    def text(self, at_ms: int) -> str:
        """`YYYY-MM-DD HH:MM:SS`; "" for 0."""
        if not at_ms:
            return ""
        second = at_ms // 1000
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, self.zone).strftime("%Y-%m-%d %H:%M:%S")
        return self._text


def local_time(at_ms: int, zone: tzinfo) -> str:
    """UTC milliseconds as `YYYY-MM-DD HH:MM:SS` in `zone`."""
    return datetime.fromtimestamp(at_ms // 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
