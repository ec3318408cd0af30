"""Times as the contract shows them: local, to the second (CONTRACT.md section 3.2)."""

from __future__ import annotations

from datetime import datetime, tzinfo


def local_time(at_ms: int, zone: tzinfo) -> str:
    """UTC milliseconds as "YYYY-MM-DD HH:MM:SS" in `zone`."""
    return datetime.fromtimestamp(at_ms // 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
