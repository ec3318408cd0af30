"""A log that nobody has the time to write message by message."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_COPIES = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO message_entry
    (conversation_id, seq, msg_id, type, sender_id, ordinal, ordinal_a, sent_at_ms, recalled, content, quote)
SELECT conversation_id, seq + n, printf('%016x%016x', conversation_id, seq + n), type, sender_id, ordinal + n,
    ordinal_a + n, sent_at_ms, recalled, content, quote
FROM message_entry, numbers WHERE conversation_id = :conversation AND seq = :newest
"""
_HEAD = """
UPDATE message_conversation SET last_seq = last_seq + :count, preview_seq = last_seq + :count,
    last_ordinal = last_ordinal + :count, last_ordinal_a = last_ordinal_a + :count WHERE id = :conversation
"""


def deepen(database: Path, conversation_id: int, count: int) -> None:
    """Repeat a conversation's newest entry `count` times, while no server runs. Raises sqlite3.Error."""
    with closing(sqlite3.connect(database)) as connection, connection:
        [newest] = connection.execute(
            "SELECT last_seq FROM message_conversation WHERE id = ?", (conversation_id,)
        ).fetchone()
        values = {"count": count, "conversation": conversation_id, "newest": newest}
        connection.execute(_COPIES, values)
        connection.execute(_HEAD, values)
