"""The Python client: REST and WebSocket, reconnecting, in order, without gaps or duplicates. Imports no server code.

async with Client("http://127.0.0.1:8080") as client:
    await client.login("13800000001", "secret")
    await client.connect()
    await client.send_text(Talk.user(2), "hello")
    async for message in client.incoming():
        print(message.from_id, message.text)
"""

from xinyu.sdk.client import Client, Options
from xinyu.sdk.cursors import CursorStore, FileCursors, MemoryCursors
from xinyu.sdk.errors import (
    ApiError,
    ClientClosed,
    ClientFailed,
    ConnectionLost,
    ContractViolation,
    Dismissed,
    ForeignCursors,
    LoginEnded,
    NotConnected,
    RequestTimeout,
    SendTimeout,
    TransferInterrupted,
)
from xinyu.sdk.types import (
    Conversation,
    Forwarded,
    HistoryPage,
    Message,
    MessageType,
    Presence,
    Talk,
    Tuning,
)

__all__ = [
    "ApiError",
    "Client",
    "ClientClosed",
    "ClientFailed",
    "ConnectionLost",
    "ContractViolation",
    "Conversation",
    "CursorStore",
    "Dismissed",
    "FileCursors",
    "ForeignCursors",
    "Forwarded",
    "HistoryPage",
    "LoginEnded",
    "MemoryCursors",
    "Message",
    "MessageType",
    "NotConnected",
    "Options",
    "Presence",
    "RequestTimeout",
    "SendTimeout",
    "Talk",
    "TransferInterrupted",
    "Tuning",
]
