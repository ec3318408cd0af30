"""Who is told how far a move is."""

from __future__ import annotations

import abc


class Watcher(abc.ABC):
    """Shows what is going on. One step at a time."""

    @abc.abstractmethod
    def begin(self, step: str, total: int) -> None:
        """A step begins, of `total` rows or files."""

    @abc.abstractmethod
    def advance(self, count: int) -> None:
        """So many more of the step are done."""

    @abc.abstractmethod
    def end(self) -> None:
        """The step is done."""

    @abc.abstractmethod
    def warn(self, line: str) -> None:
        """Something that must be read."""

    @abc.abstractmethod
    def close(self) -> None:
        """Nothing more comes, whether the last step was done or not. Idempotent."""
