"""Tokens: what they claim, whether their log-in is still good, and what asking costs."""

import asyncio
import base64
import json

import jwt
import pytest

from testkit.clock import ManualClock
from xinyu.gateway.auth import MAX_TOKEN, JwtAuthenticator
from xinyu.kernel.errors import Unauthenticated, Unavailable
from xinyu.kernel.ids import LoginId, UserId
from xinyu.user.port import LoginPort
from xinyu.user.tokens import TokenIssuer
from xinyu.user.types import EndedLogin, LoginState

SECRET, ISSUER = "a secret for tests only, 32 and more", "auth-service"
LOGIN = LoginId("a" * 32)


class Logins(LoginPort):
    """Answers from a table and counts the questions; holds them back while `gate` is shut."""

    def __init__(self) -> None:
        self.states: dict[LoginId, LoginState] = {LOGIN: LoginState(0, False, False)}
        self.asked = 0
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def get_login_state(self, user_id: UserId, login_id: LoginId) -> LoginState:
        self.asked += 1
        await self.gate.wait()
        if self.fails:
            raise Unavailable()
        return self.states.get(login_id, LoginState(0, True, False))

    async def list_ended_since(self, since_ms: int) -> list[EndedLogin]:
        return []

    async def end_login(self, user_id: UserId, login_id: LoginId) -> None:
        self.states[login_id] = LoginState(0, True, False)

    async def end_all(self, user_id: UserId, except_login_id: LoginId | None = None) -> None:
        self.states.clear()


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.logins = Logins()
        self.authenticator = JwtAuthenticator(SECRET, ISSUER, self.logins, self.clock, 3.0)
        self.issuer = TokenIssuer(SECRET, ISSUER, 600, self.clock)
        self.token = self.issuer.issue(UserId(7), LOGIN, 0, "web").token


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def claims(bench: Bench) -> dict[str, object]:
    decoded: dict[str, object] = jwt.decode(bench.token, options={"verify_signature": False})
    return decoded


async def test_a_good_token_names_its_caller(bench: Bench) -> None:
    caller = await bench.authenticator.authenticate(bench.token)
    assert (caller.user_id, caller.login_id, caller.platform, caller.version) == (7, LOGIN, "web", 0)
    assert caller.expires_at == bench.clock.now_ms() // 1000 + 600


async def test_a_token_expires_on_the_servers_clock(bench: Bench) -> None:
    bench.clock.jump(599)
    await bench.authenticator.authenticate(bench.token)
    bench.clock.jump(1)
    with pytest.raises(Unauthenticated):
        await bench.authenticator.authenticate(bench.token)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"uid": None},
        {"uid": "x"},
        {"uid": "-7"},
        {"uid": "0"},
        {"uid": str(2**53)},
        {"uid": "9" * 400},
        {"jti": None},
        {"ver": None},
        {"ver": "x"},
        {"ver": 1},
        {"jti": "b" * 32},
        {"sub": 7},
    ],
)
async def test_claims_that_are_missing_or_wrong(bench: Bench, change: dict[str, object]) -> None:
    changed = {key: value for key, value in {**claims(bench), **change}.items() if value is not None}
    token = jwt.encode(changed, SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated):
        await bench.authenticator.authenticate(token)


async def test_other_keys_and_algorithms(bench: Bench) -> None:
    good = claims(bench)
    unsigned = jwt.encode(good, None, algorithm="none")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256"}).encode()).decode().rstrip("=")
    forged = ".".join([header, bench.token.split(".")[1], "AAAA"])
    for token in (
        jwt.encode(good, "another secret, also 32 characters", algorithm="HS256"),
        jwt.encode(good, SECRET * 2, algorithm="HS512"),
        unsigned,
        forged,
        bench.token[:-2],
        bench.token + ".x",
        "",
        "x",
        "..",
        "\x00é",
        "x" * (MAX_TOKEN + 1),
    ):
        with pytest.raises(Unauthenticated):
            await bench.authenticator.authenticate(token)
    assert bench.logins.asked == 0


async def test_an_ended_login_stops_within_the_cache_time(bench: Bench) -> None:
    await bench.authenticator.authenticate(bench.token)
    await bench.logins.end_login(UserId(7), LOGIN)
    bench.clock.jump(2.9)
    await bench.authenticator.authenticate(bench.token)
    bench.clock.jump(0.1)
    with pytest.raises(Unauthenticated):
        await bench.authenticator.authenticate(bench.token)


@pytest.mark.parametrize("state", [LoginState(1, False, False), LoginState(0, True, False), LoginState(0, False, True)])
async def test_states_that_are_not_good(bench: Bench, state: LoginState) -> None:
    bench.logins.states[LOGIN] = state
    with pytest.raises(Unauthenticated):
        await bench.authenticator.authenticate(bench.token)


async def test_many_at_once_ask_once_and_one_that_leaves_takes_nobody_along(bench: Bench) -> None:
    bench.logins.gate.clear()
    waiting = [asyncio.create_task(bench.authenticator.authenticate(bench.token)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    bench.logins.gate.set()
    callers = await asyncio.gather(*waiting[1:])
    assert {caller.user_id for caller in callers} == {7}
    assert bench.logins.asked == 1
    await bench.authenticator.authenticate(bench.token)
    assert bench.logins.asked == 1


async def test_a_failed_question_is_told_as_such_and_asked_again(bench: Bench) -> None:
    bench.logins.fails = True
    with pytest.raises(Unavailable):
        await bench.authenticator.authenticate(bench.token)
    bench.logins.fails = False
    await bench.authenticator.authenticate(bench.token)
    assert bench.logins.asked == 2


def test_a_short_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="jwt_secret"):
        TokenIssuer("short", ISSUER, 600, ManualClock())


async def test_failures_are_counted_but_not_those_of_the_service_behind(bench: Bench) -> None:
    await bench.authenticator.authenticate(bench.token)
    for token in ("", "forged"):
        with pytest.raises(Unauthenticated):
            await bench.authenticator.authenticate(token)
    bench.clock.jump(10.0)
    bench.logins.fails = True
    with pytest.raises(Unavailable):
        await bench.authenticator.authenticate(bench.token)
    ((name, _, value),) = bench.authenticator.readings()
    assert (name, value) == ("xinyu_auth_failures_total", 2)
