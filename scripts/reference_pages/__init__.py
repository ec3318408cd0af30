"""The generated pages of docs/reference, each read off the code that it describes."""

from __future__ import annotations

from collections.abc import Callable

from reference_pages.close_codes import close_codes_page
from reference_pages.config import config_page
from reference_pages.errors import errors_page
from reference_pages.events import events_page
from reference_pages.logs import logs_page
from reference_pages.metrics import metrics_page
from reference_pages.ports import ports_page
from reference_pages.rest import rest_page

PAGES: dict[str, Callable[[], str]] = {
    "config.md": config_page,
    "rest.md": rest_page,
    "events.md": events_page,
    "errors.md": errors_page,
    "ports.md": ports_page,
    "close-codes.md": close_codes_page,
    "logs.md": logs_page,
    "metrics.md": metrics_page,
}
"""File name → its text."""
