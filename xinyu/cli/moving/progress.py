"""How far a long command is: a bar on a terminal, lines in a file or pipe."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xinyu.app.moving.watcher import Watcher

LINE_SECONDS = 5.0


def watcher(console: Console) -> Watcher:
    """The one for this output."""
    return Bars(console) if console.is_terminal else Lines(console)


class Bars(Watcher):
    """A bar for each step; those of finished ones stay above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None

    def begin(self, step: str, total: int) -> None:
        columns = (TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console)
        self._bar.add_task(step, total=total)
        self._bar.start()

    def advance(self, count: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], count)

    def end(self) -> None:
        self.close()

    def warn(self, line: str) -> None:
        self.close()
        _warn(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Lines(Watcher):
    """A line for each step that is done, and one now and then in a long one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._total = self._done = 0
        self._told = 0.0

    def begin(self, step: str, total: int) -> None:
        self._step, self._total, self._done = step, total, 0
        self._told = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            self._console.print(f"{self._step}: {self._done} of {self._total}", markup=False)

    def end(self) -> None:
        self._console.print(f"{self._step}: {self._done}", markup=False)

    def warn(self, line: str) -> None:
        _warn(line)

    def close(self) -> None:
        return


def _warn(line: str) -> None:
    print(f"xinyu: {line}", file=sys.stderr)
