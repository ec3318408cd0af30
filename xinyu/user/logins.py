"""Log-ins: whether they are good, and ending them."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.errors import UserNotFound
from xinyu.user.port import LoginPort
from xinyu.user.store import LoginStore
from xinyu.user.types import EndedLogin, LoginState

ENDED_PAGE = 1000


class LoginService(LoginPort):
    """LoginPort."""

    def __init__(self, store: LoginStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def get_login_state(self, user_id: UserId, login_id: LoginId) -> LoginState:
        state = await self._store.find_state(user_id, login_id)
        return state or LoginState(version=0, ended=True, disabled=False)

    async def list_ended_since(self, since_ms: int) -> list[EndedLogin]:
        return await self._store.list_ended_since(since_ms, ENDED_PAGE)

    async def end_login(self, user_id: UserId, login_id: LoginId) -> None:
        await self._store.end(user_id, login_id, self._clock.now_ms())

    async def end_all(self, user_id: UserId, except_login_id: LoginId | None = None) -> None:
        if not await self._store.end_all(user_id, self._clock.now_ms(), except_login_id):
            raise UserNotFound()
