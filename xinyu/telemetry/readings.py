"""What a component counts, read when somebody scrapes: no driver, so that any floor may offer some."""

from __future__ import annotations

Reading = tuple[str, str, float]
"""(name, help, value). A name ending in _total is a counter, any other a gauge."""
