"""A fresh contact domain for each test, called directly and through the codec."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.clock import ManualClock
from testkit.contacts import ContactWorld, RecordingMessage, migrated_database
from xinyu.contact.settings import ContactSettings


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ContactWorld]:
    settings = ContactSettings(max_contacts=3, max_groups=3, max_pending_applications=3)
    async with migrated_database(f"sqlite:///{tmp_path / 'contact.db'}") as database:
        yield ContactWorld(database, ManualClock(), RecordingMessage(), settings)
