"""What the bench is doing, on the terminal as bars, elsewhere as a line for each step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Progression(Protocol):
    """Told by the bench what goes on."""

    def say(self, text: str) -> None:
        """What begins now."""

    def advance(self) -> None:
        """A step is over."""

    def made(self, done: int, wanted: int) -> None:
        """So many accounts, pairs or friendships of the ones wanted now exist."""


@contextlib.contextmanager
def progression(console: Console, steps: int, terminal: bool) -> Iterator[Progression]:
    """Bars while the block runs, or lines into `console`."""
    if not terminal:
        yield _Lines(console, steps)
        return
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars, bars.add_task("", total=steps), bars.add_task("accounts", total=1, visible=False))


class _Bars:
    def __init__(self, bars: Progress, task: TaskID, accounts: TaskID) -> None:
        self._bars, self._task, self._accounts = bars, task, accounts

    def say(self, text: str) -> None:
        self._bars.update(self._task, description=text)

    def advance(self) -> None:
        self._bars.advance(self._task)

    def made(self, done: int, wanted: int) -> None:
        if done % 20 == 0 or done == wanted:
            self._bars.update(self._accounts, completed=done, total=wanted, visible=done < wanted)


class _Lines:
    def __init__(self, console: Console, steps: int) -> None:
        self._console, self._steps, self._done, self._began = console, steps, 0, time.monotonic()

    def say(self, text: str) -> None:
        self._print(text)

    def advance(self) -> None:
        self._done += 1

    def made(self, done: int, wanted: int) -> None:
        if done % 1000 == 0 and done < wanted:
            self._print(f"{done} of {wanted} accounts or friendships made")

    def _print(self, text: str) -> None:
        seconds = time.monotonic() - self._began
        self._console.print(f"{seconds:6.0f} s  {self._done:3d}/{self._steps}  {text}", highlight=False, markup=False)
