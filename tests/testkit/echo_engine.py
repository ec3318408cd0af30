"""The smallest engine for the tests of those who start engines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from local_engines.process import ask
from local_engines.servers import Server

ECHO = """
import socket, sys
open(sys.argv[1] + "/starts", "a").write("x")
with socket.create_server(("127.0.0.1", int(open(sys.argv[1] + "/port").read()))) as server:
    while True:
        connection, _ = server.accept()
        connection.sendall(b"hello")
        connection.close()
"""


class Echo(Server):
    """The smallest engine: says hello."""

    name = "echo"
    variable = "ECHO"
    packages = ("echo",)
    program = ECHO

    def missing(self) -> str | None:
        return None

    def prepare(self, folder: Path, port: int, secret: str) -> None:
        (folder / "data").mkdir(exist_ok=True)
        (folder / "port").write_text(str(port))

    def command(self, folder: Path) -> Sequence[str]:
        return [sys.executable, "-c", self.program, str(folder)]

    def is_ready(self, folder: Path, port: int, secret: str) -> bool:
        return ask(port, b"") == b"hello"

    def address(self, port: int, secret: str) -> str:
        return f"127.0.0.1:{port}"
