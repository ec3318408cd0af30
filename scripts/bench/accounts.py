"""Users for the load, and friends among them, made through the public REST API."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bench.rest import Rest, RestError
from bench.target import Operators

Progress = Callable[[int, int], None]  # (done, wanted)

_AT_ONCE = 16
_INVITED_AT_ONCE = 200
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user with a valid token."""

    uid: int
    token: str


@dataclass(frozen=True, slots=True)
class Friends:
    """Two befriended accounts and the id of their private conversation (the contract's talk id)."""

    sender: Account
    receiver: Account
    talk_id: int


@dataclass(frozen=True, slots=True)
class Room:
    """A group and its members, the owner first."""

    group_id: int
    members: tuple[Account, ...]


class Accounts:
    """Makes what is asked for and keeps it: asking again for as many, or fewer, costs nothing."""

    def __init__(
        self,
        base_url: str,
        progress: Progress = lambda done, wanted: None,
        operators: Operators | None = None,
    ) -> None:
        """With `operators` these make the accounts; otherwise users register, with codes that the server tells."""
        self._base_url = base_url
        self._operators = operators
        self._progress = progress
        self._users: list[Account] = []
        self._pairs: list[Friends] = []
        self._rooms: dict[int, Room] = {}
        self._sociable: dict[int, Account] = {}
        self._friends_of_first: set[int] = set()
        self._next_mobile = 13_000_000_000 + secrets.randbelow(5_000_000_000)
        self._password = secrets.token_hex(12)

    def at(self, base_url: str) -> None:
        """The server moved (a restart on the same data took another port)."""
        self._base_url = base_url

    async def users(self, count: int) -> list[Account]:
        """`count` users without friends. Raises RestError."""
        missing = count - len(self._users)
        if missing > 0:
            async with Rest(self._base_url, _AT_ONCE) as rest:
                self._users += await self._all(lambda: self._register(rest), missing)
        return self._users[:count]

    async def make(self, n_pairs: int) -> list[Friends]:
        """`n_pairs` pairs of friends. Raises RestError."""
        missing = n_pairs - len(self._pairs)
        if missing > 0:
            async with Rest(self._base_url, _AT_ONCE) as rest:
                self._pairs += await self._all(lambda: self._befriended(rest), missing)
        return self._pairs[:n_pairs]

    async def group(self, size: int) -> Room:
        """A group of the first `size` users. Raises RestError."""
        if size not in self._rooms:
            owner, *friends = await self.users(size)
            others = [friend.uid for friend in friends]
            async with Rest(self._base_url, _AT_ONCE) as rest:
                await self._befriend_with_first(rest, friends)
                first, *rest_of_them = (others[at : at + _INVITED_AT_ONCE] for at in range(0, size, _INVITED_AT_ONCE))
                made = await rest.post("/group/create", {"name": f"load {size}", "user_ids": first}, owner.token)
                for more in rest_of_them:
                    invited = {"group_id": made["group_id"], "user_ids": more}
                    await rest.post("/group/invite", invited, owner.token)
            self._rooms[size] = Room(made["group_id"], (owner, *friends))
        return self._rooms[size]

    async def sociable(self, friends: int) -> Account:
        """A user who has so many private conversations. Raises RestError."""
        if friends not in self._sociable:
            others = iter(await self.users(friends))
            async with Rest(self._base_url, _AT_ONCE) as rest:
                user = await self._register(rest)
                await self._all(lambda: self._befriend(rest, user, next(others)), friends)
            self._sociable[friends] = user
        return self._sociable[friends]

    async def _all(self, job: Callable[[], Awaitable[_T]], count: int) -> list[_T]:
        results: list[_T] = []
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                results.append(await job())
                self._progress(len(results), count)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(worker())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # they all met the same trouble
        return results

    async def _register(self, rest: Rest) -> Account:
        self._next_mobile += 1
        mobile = str(self._next_mobile)
        if self._operators is not None:
            return await self._made(rest, self._operators, mobile)
        sent = await rest.post("/common/send-sms", {"mobile": mobile, "channel": "register"})
        if not sent.get("sms_code"):
            raise RestError("the server keeps verification codes to itself: the benchmark needs codes in responses")
        answer = await rest.post(
            "/auth/register",
            {
                "nickname": f"load {mobile[-6:]}",
                "mobile": mobile,
                "password": self._password,
                "sms_code": sent["sms_code"],
                "platform": "web",
            },
        )
        return Account(_uid_of(answer["access_token"]), answer["access_token"])

    async def _made(self, rest: Rest, operators: Operators, mobile: str) -> Account:
        account = {"mobile": mobile, "password": self._password}
        async with Rest(operators.admin_url, 1, below="/admin") as admin:
            await admin.post("/user-create", {"nickname": f"load {mobile[-6:]}", **account}, operators.secret)
        answer = await rest.post("/auth/login", {**account, "platform": "web"})
        return Account(_uid_of(answer["access_token"]), answer["access_token"])

    async def _befriended(self, rest: Rest) -> Friends:
        return await self._befriend(rest, await self._register(rest), await self._register(rest))

    async def _befriend_with_first(self, rest: Rest, users: Sequence[Account]) -> None:
        """Only contacts can be put into a group."""
        left = iter([user for user in users if user.uid not in self._friends_of_first])

        async def one() -> Friends:
            user = next(left)
            self._friends_of_first.add(user.uid)
            return await self._befriend(rest, self._users[0], user)

        await self._all(one, sum(user.uid not in self._friends_of_first for user in users))

    async def _befriend(self, rest: Rest, sender: Account, receiver: Account) -> Friends:
        await rest.post("/contact-apply/create", {"user_id": receiver.uid, "remark": "load"}, sender.token)
        applications = await rest.post("/contact-apply/list", {}, receiver.token)
        apply_id = applications["items"][0]["id"]
        accepted = await rest.post("/contact-apply/accept", {"apply_id": apply_id, "remark": ""}, receiver.token)
        return Friends(sender, receiver, accepted["session"]["id"])


def _uid_of(token: str) -> int:
    """The user id in a token's claims; the server checks signatures, we only read."""
    claims = token.split(".")[1]
    return int(msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["uid"])
