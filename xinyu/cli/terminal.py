"""A terminal in which lines are typed while others appear: lines on stdin, with editing where there is readline."""

from __future__ import annotations

import asyncio
import queue
import sys
import termios
import threading
from typing import Any, BinaryIO

from rich.console import Console
from rich.markup import escape

try:
    import readline
except ImportError:  # Python built without it: lines are typed without editing
    readline = None  # type: ignore[assignment]

CLEAR_LINE = "\r\x1b[K"


class Terminal:
    """Reads on a thread of its own, a line only when it is asked for, so that nothing is read ahead of `/quit`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._edits = readline is not None and sys.stdin.isatty() and console.is_terminal
        self._modes: list[Any] | None = termios.tcgetattr(0) if sys.stdin.isatty() else None
        self._prompts: queue.SimpleQueue[tuple[str, asyncio.Future[str | None]]] = queue.SimpleQueue()
        self._shown = ""
        self._at_prompt = False
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="terminal", daemon=True).start()

    @property
    def draft(self) -> str:
        """What is typed so far, as far as can be known."""
        return readline.get_line_buffer() if self._edits and self._shown else ""

    async def line(self, prompt: str) -> str | None:
        """The next line; None at the end of input."""
        answer: asyncio.Future[str | None] = self._loop.create_future()
        self._shown, self._at_prompt = prompt, True
        self._prompts.put((prompt, answer))
        try:
            line = await answer
            self._at_prompt = line is None
            return line
        finally:
            self._shown = ""

    def show(self, text: str, style: str = "") -> None:
        """Print a line, above the one that is being typed. `text` comes from others: it is cleared of anything that
        would steer the terminal."""
        harmless = "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
        if self._edits and self._shown:
            self._console.file.write(CLEAR_LINE)
        self._console.print(escape(harmless), style=style)
        if self._edits and self._shown:
            self._console.file.write(self._shown + readline.get_line_buffer())
        self._console.file.flush()

    def restore(self) -> None:
        """Give the terminal back as it was, also when a line was being typed."""
        if self._modes is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._modes)
        if self._edits and self._at_prompt:
            self._console.print()

    def _read(self) -> None:
        with open(0, "rb", closefd=False) as stdin:
            while True:
                prompt, answer = self._prompts.get()
                line = self._edited(prompt) if self._edits else self._plain(stdin)
                self._loop.call_soon_threadsafe(_settle, answer, line)

    def _edited(self, prompt: str) -> str | None:
        try:
            return input(prompt)
        except (EOFError, ValueError):
            return None

    def _plain(self, stdin: BinaryIO) -> str | None:
        line = stdin.readline()
        return line.decode("utf-8", "replace").rstrip("\r\n") if line else None


def _settle(answer: asyncio.Future[str | None], line: str | None) -> None:
    if not answer.done():
        answer.set_result(line)
