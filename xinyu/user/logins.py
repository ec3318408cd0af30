"""Log-ins: whether they are good, and ending them."""

from __future__ import annotations

import asyncio
import itertools

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.errors import UserNotFound
from xinyu.user.port import LoginPort
from xinyu.user.store import LoginStore
from xinyu.user.types import EndedLogin, LoginState

ENDED_PAGE = 1000
STATES_PER_READ = 200


class LoginService(LoginPort):
    """LoginPort."""

    def __init__(self, store: LoginStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._states = StateReader(store)

    async def get_login_state(self, user_id: UserId, login_id: LoginId) -> LoginState:
        found = await self._states.read(login_id)
        if found is None or found[0] != user_id:
            return LoginState(version=0, ended=True, disabled=False)
        return found[1]

    async def list_ended_since(self, since_ms: int) -> list[EndedLogin]:
        return await self._store.list_ended_since(since_ms, ENDED_PAGE)

    async def end_login(self, user_id: UserId, login_id: LoginId) -> None:
        await self._store.end(user_id, login_id, self._clock.now_ms())

    async def end_all(self, user_id: UserId, except_login_id: LoginId | None = None) -> None:
        if not await self._store.end_all(user_id, self._clock.now_ms(), except_login_id):
            raise UserNotFound()


class StateReader:
    """Reads log-ins one by one while nothing else waits, and together what comes in while a read runs: after a restart
    every client connects at once. An answer is never older than its question."""

    def __init__(self, store: LoginStore) -> None:
        self._store = store
        self._waiting: dict[LoginId, asyncio.Future[tuple[UserId, LoginState] | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(self, login_id: LoginId) -> tuple[UserId, LoginState] | None:
        """Whose log-in it is, and its state; None where there is none. Raises StorageUnavailable."""
        answer = self._waiting.get(login_id)
        if answer is None:
            answer = self._waiting[login_id] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        try:
            while self._waiting:
                oldest = list(itertools.islice(self._waiting, STATES_PER_READ))
                await self._answer({login_id: self._waiting.pop(login_id) for login_id in oldest})
        finally:
            self._task = None

    async def _answer(self, batch: dict[LoginId, asyncio.Future[tuple[UserId, LoginState] | None]]) -> None:
        try:
            found = await self._store.list_states(list(batch))
        except BaseException as error:
            for answer in batch.values():
                answer.set_exception(error if isinstance(error, Exception) else Unavailable())
                answer.exception()  # whoever asked may be gone; then nobody is to be told
            if not isinstance(error, Exception):
                raise
            return
        for login_id, answer in batch.items():
            answer.set_result(found.get(login_id))
