"""The ZooKeeper sessions of a stage's processes: which there are, and how to end one as the server would.

ZooKeeper lets whoever knows a session's id and password go on with it, and close it. The password of a session is made
of its id by the server, always in the same way; so everybody who may speak to the port can end any session.
"""

from __future__ import annotations

import re
import socket
import struct

SUPER_SECRET = 0xB3415C00
"""ZooKeeper's own constant (ZooKeeperServer.superSecret)."""
CLOSE = -11
"""The request's type (ZooDefs.OpCode.closeSession)."""
SECONDS = 5.0
_SESSION = re.compile(r"^(0x[0-9a-f]+):$")
_NAME = re.compile(r"^\t/.*/_nodes/([^/]+)$")


def sessions_of(port: int) -> dict[str, int]:
    """The session in which each process is registered, by its name. Empty while ZooKeeper is away."""
    return registered(_told(port, b"dump").decode(errors="replace"))


def registered(dump: str) -> dict[str, int]:
    """The same from what the server tells by `dump`: a line for a session, then one for each node that lives in it."""
    found: dict[str, int] = {}
    session = 0
    for line in dump.splitlines():
        if match := _SESSION.match(line):
            session = int(match[1], 16)
        elif match := _NAME.match(line):
            found[match[1]] = session
    return found


def end_session(port: int, session: int) -> None:
    """Take a session over and close it. Its owner learns of it when he comes back. Raises OSError."""
    password = password_of(session)
    hello = struct.pack(">iqiqi", 0, 0, 1000, session, len(password)) + password + b"\0"
    farewell = struct.pack(">ii", 1, CLOSE)
    _told(port, b"".join(struct.pack(">i", len(part)) + part for part in (hello, farewell)))


def password_of(session: int) -> bytes:
    """16 bytes of java.util.Random with the session's id, xored with the constant, as its seed."""
    mask = 2**48 - 1
    state = (session ^ SUPER_SECRET ^ 0x5DEECE66D) & mask
    words = []
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & mask
        words.append(struct.pack("<I", state >> 16))  # its lowest byte is told first
    return b"".join(words)


def _told(port: int, question: bytes) -> bytes:
    """Everything that the server says until it hangs up."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        connection.sendall(question)
        while part := connection.recv(65_536):
            answer += part
    return answer
