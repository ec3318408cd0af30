"""An event loop without a clock and without I/O: time jumps to the next timer when nobody has anything to do.

Every callback belongs to a *place*: a process, a device, the world. Within a place callbacks run in the order in which
they were due, as asyncio promises; which place goes next is drawn. So each run is one that real processes could have.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from asyncio import Future, Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
BEGIN = 1000.0
"""What `loop.time()` and `time.monotonic()` show first."""
MOST_TURNS = 3_000_000
"""A run that takes more is going round in circles."""
CLOSES = 20


class StuckError(Exception):
    """A run does not come to its end: nothing is left to wait for, or it goes round in circles."""


class Place:
    """What can stand still, or end between any two of its callbacks."""

    __slots__ = ("_loop", "_prune_at", "_tasks", "alive", "context", "name", "paused", "queue")

    def __init__(self, loop: SimulationLoop, name: str) -> None:
        self._loop = loop
        self._tasks: list[Task[Any]] = []
        self._prune_at = 64
        self.name = name
        self.queue: deque[Handle] = deque()
        self.alive = True
        self.paused = False
        self.context = Context()
        self.context.run(PLACE.set, self)
        loop.places.append(self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> Task[T]:
        """Have something done here."""
        return self._loop.create_task(work, context=self.context.copy())

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """Call something here at a time."""
        return self._loop.call_at(when, callback, *args, context=self.context.copy())

    def pause(self) -> None:
        """Stand still, as a process after SIGSTOP does; what is due meanwhile waits."""
        if not self.paused:
            self.paused = True
            self._loop.stall(self)

    def resume(self) -> None:
        """Go on."""
        if self.paused:
            self.paused = False
            self._loop.wake(self)

    def kill(self) -> None:
        """End here and now: nothing of it runs any more, not even what cleans up."""
        self._loop.stall(self)
        self.alive = False
        self.queue.clear()

    def keep(self, task: Task[Any]) -> None:
        """Hold on to a task: the collector would run the clean-up of one that was killed."""
        if len(self._tasks) >= self._prune_at:
            self._tasks = [kept for kept in self._tasks if not kept.done()]
            self._prune_at = max(64, 2 * len(self._tasks))
        self._tasks.append(task)

    def sweep(self) -> bool:
        """Close what was left in the middle; whether there was anything."""
        left, self._tasks = [task for task in self._tasks if not task.done()], []
        for task in left:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            _close(task.get_coro())
        return bool(left)


def _close(work: Any) -> None:
    for _ in range(CLOSES):
        try:
            work.close()
        except RuntimeError:
            continue  # its clean-up waits for something: that is closed, too
        except Exception:
            return
        return


PLACE: ContextVar[Place] = ContextVar("place")


class SimulationLoop(asyncio.BaseEventLoop):
    """The loop of one run. `draw` gives numbers in [0, 1)."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self._draw = draw
        self._now = BEGIN
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._numbers = itertools.count()
        self._runnable: list[Place] = []
        self.turns = 0
        self.watch: Callable[[float, Place, Handle], None] | None = None
        """Told of every callback before it runs."""
        self.failures: list[str] = []
        """What callbacks raised that nobody caught."""
        self.places: list[Place] = []
        self.world = Place(self, "world")
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> Handle:
        handle = Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon  # there are no threads

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        timer = TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> Task[Any]:  # type: ignore[override]
        task: Task[Any] = Task(coro, loop=self, name=name, context=context)
        place = PLACE.get(self.world) if context is None else context.get(PLACE, self.world)
        place.keep(task)
        return task

    def run_in_executor(self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> Future[T]:
        raise StuckError(f"{func} wants a thread; a simulation has none")

    def stall(self, place: Place) -> None:
        """Run nothing of a place."""
        if place in self._runnable:
            self._runnable.remove(place)

    def wake(self, place: Place) -> None:
        """Go on with a place."""
        if place.queue and place.alive and place not in self._runnable:
            self._runnable.append(place)

    def dispose(self) -> None:
        """Drop what is left to be done, and close."""
        for place in self.places:
            place.alive = False
        asyncio._set_running_loop(self)  # what cleans up may ask for it
        for _ in range(CLOSES):
            if not sum(place.sweep() for place in self.places):
                break
        asyncio._set_running_loop(None)
        self._timers.clear()
        self._runnable.clear()
        self.close()

    def _enqueue(self, handle: Handle) -> None:
        place = handle._context.get(PLACE, self.world)  # type: ignore[attr-defined]
        if not place.alive:
            return
        if not place.queue and not place.paused:
            self._runnable.append(place)
        place.queue.append(handle)

    def _run_once(self) -> None:
        runnable, draw = self._runnable, self._draw
        while not self._stopping:  # type: ignore[attr-defined]
            count = len(runnable)
            if not count:
                self._jump()
                continue
            index = int(draw() * count) if count > 1 else 0
            place = runnable[index]
            handle = place.queue.popleft()
            if not place.queue:
                last = runnable.pop()
                if last is not place:
                    runnable[index] = last
            if handle.cancelled():
                continue
            self.turns += 1
            if self.turns > MOST_TURNS:
                raise StuckError(f"{self.turns} callbacks and no end")
            if self.watch is not None:
                self.watch(self._now, place, handle)
            handle._run()

    def _jump(self) -> None:
        """To the next moment at which something is due."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise StuckError("nobody has anything to do, and nothing is due")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            if not timer.cancelled():
                self._enqueue(timer)

    def _note_failure(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(context.get("handle"), Handle) and error is not None:
            self.failures.append(f"{context.get('message')}: {error!r}")

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, event_list: object) -> None:
        pass
