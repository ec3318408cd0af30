"""Redis: one pool, pipelines, scripts; the driver's errors translated."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.maint_notifications import MaintNotificationsConfig

from xinyu.storage.errors import StorageUnavailable

PIPELINE_COMMANDS = 1000
"""Commands sent at once: so many that the round trip does not count, so few that others get their turn."""
REFUSALS = (ClusterDownError, NoPermissionError, OutOfMemoryError, ReadOnlyError, TryAgainError)
REFUSAL_TEXTS = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "NOAUTH", "WRONGPASS", "UNKILLABLE", "BUSY")
"""Answers of a Redis that is there but refuses to work: as good as away. Any other error answer is a bug of ours."""

Value = str | int


class Script:
    """A Lua script, sent by its hash. Redis Cluster runs it where its keys are: all of them must share a slot."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def on(self, key: str, *arguments: Value) -> Call:
        """A call of the script on one key."""
        return self.on_all((key,), *arguments)

    def on_all(self, keys: Sequence[str], *arguments: Value) -> Call:
        """A call of the script on keys that share a slot."""
        return Call(("EVALSHA", self.sha, len(keys), *keys, *arguments), self)


class Call(NamedTuple):
    """A command to Redis."""

    words: tuple[Value, ...]
    script: Script | None = None


def call(*words: Value) -> Call:
    """A plain command: `call("GET", key)`."""
    return Call(words)


class RedisDatabase:
    """A Redis server by its URL (redis://, rediss:// or unix://). Connects when first used.

    Pipelines are packed by hiredis and sent over redis-py's pooled connections: its own way, made for one command at
    a time, takes four times as long for a fan-out's lookups. A pipeline may take `timeout_seconds`, waiting for a free
    connection included. It does not retry: callers know whether they may, and how long they can wait.
    """

    def __init__(self, url: str, pool_size: int = 10, timeout_seconds: float = 2.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=pool_size,
            timeout=timeout_seconds,
            socket_timeout=None,  # one limit for a pipeline, below: a timer for each answer costs more than the answer
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            # The pool tests a connection before it gives it away, and gives it away all the same where it waits for
            # notices of maintenance: then each of those that a restart broke fails once more, whenever it is next used.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            decode_responses=True,
        )

    async def ping(self) -> None:
        """Raises StorageUnavailable when Redis does not answer or does not let us in."""
        await self.run([call("PING")])

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send all, in pipelines, and return the answers in the order of the calls. Raises StorageUnavailable.

        Calls run one by one, not as a transaction. After an error any of them may have run. Scripts that Redis does not
        know (it was restarted) are loaded and called once more, after the other calls.
        """
        answers: list[Any] = []
        for start in range(0, len(calls), PIPELINE_COMMANDS):
            answers += await self._pipeline(calls[start : start + PIPELINE_COMMANDS])
        return answers

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self._pool.disconnect()

    async def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        answers = await self._send(calls)
        unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            scripts = {script.sha: script for number in unknown if (script := calls[number].script)}
            await self._send([call("SCRIPT", "LOAD", script.text) for script in scripts.values()])
            for number, answer in zip(unknown, await self._send([calls[n] for n in unknown]), strict=True):
                answers[number] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise _translated(answer) from answer
        return answers

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # its decorator
                try:
                    await connection.send_packed_command(b"".join([_packed(words) for words, _ in calls]))
                    return [await self._answer(connection) for _ in calls]
                except BaseException:
                    # Answers are still to come on it, and they are nobody's.
                    await connection.disconnect(nowait=True)
                    raise
                finally:
                    await self._pool.release(connection)
        except (RedisError, OSError, TimeoutError) as error:
            raise _translated(error) from error

    @staticmethod
    async def _answer(connection: AbstractConnection) -> Any:
        try:
            return await connection.read_response()
        except ResponseError as error:
            return error


def no_redis(error: StorageUnavailable) -> str:
    """What is wrong with a Redis that cannot be used, for whoever configured it."""
    return f"Redis cannot be used ({error.__cause__ or error.message})"


def _packed(words: tuple[Value, ...]) -> bytes:
    packed: bytes = pack_command(words)  # type: ignore[arg-type]  # its stub takes tuples of one only
    return packed


def _translated(error: Exception) -> Exception:
    refuses = isinstance(error, REFUSALS) or str(error).startswith(REFUSAL_TEXTS)
    if isinstance(error, ResponseError) and not refuses:
        return error
    return StorageUnavailable(f"Redis is away or refuses to work: {error}" if refuses else None)
