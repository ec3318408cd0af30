"""A log that nobody has the time to write message by message, in plain SQL that SQLite and MySQL share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pymysql
from sqlalchemy.engine import make_url

DOUBLINGS = 20
ADDED = 2**DOUBLINGS - 1
"""Entries that a deepened log has more than before."""
_COPIES = """
INSERT INTO message_entry
    (conversation_id, seq, msg_id, type, sender_id, ordinal, ordinal_a, sent_at_ms, recalled, content, quote)
SELECT conversation_id, seq + {width}, msg_id, type, sender_id, ordinal + {width}, ordinal_a + {width}, sent_at_ms,
    recalled, content, quote
FROM message_entry WHERE conversation_id = {conversation} AND seq >= {first}
"""
_HEAD = """
UPDATE message_conversation SET preview_seq = last_seq + {added}, last_seq = last_seq + {added},
    last_ordinal = last_ordinal + {added}, last_ordinal_a = last_ordinal_a + {added} WHERE id = {conversation}
"""


def deepen_sqlite(database: Path, conversation: int, newest: int) -> None:
    """Repeat the entry `newest` ADDED times behind itself, while no server runs. Raises sqlite3.Error."""
    with closing(sqlite3.connect(database)) as connection, connection:
        _deepen(connection.execute, conversation, newest)


def deepen_mysql(dsn: str, conversation: int, newest: int) -> None:
    """The same, in a conversation that nobody writes to meanwhile. Raises OSError."""
    url = make_url(dsn)
    try:
        with (
            pymysql.connect(
                host=url.host,
                port=url.port or 3306,
                user=url.username,
                password=str(url.password or ""),
                database=url.database,
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            _deepen(cursor.execute, conversation, newest)
    except pymysql.MySQLError as error:
        raise OSError(f"the log was not deepened: {error}") from error


def _deepen(execute: Callable[[str], object], conversation: int, newest: int) -> None:
    for step in range(DOUBLINGS):
        execute(_COPIES.format(width=2**step, conversation=int(conversation), first=int(newest)))
    execute(_HEAD.format(added=ADDED, conversation=int(conversation)))
