"""Access tokens under fuzz (G12): bent ones, and ones that are signed and say odd things."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import jwt
from hypothesis import strategies as st

from testkit.fuzz_oracle import check_answer, check_frame
from testkit.fuzz_probes import HttpProbe, SocketProbe
from testkit.fuzz_target import FuzzTarget
from testkit.fuzzing import INTEGERS, ODD, TEXTS, explore, mutated, noted, rounds
from testkit.placement import Placement

EXAMPLES, MUTANTS = 80, 120
DETAIL = "/api/v1/user/detail"
WORDS = (b".", b"..", b"=", b"e30", b"eyJhbGciOiJub25lIn0", b"\xff", b" ", b"Bearer ", b"A" * 3000, b"%00")


def refused(probe: HttpProbe, token: bytes) -> None:
    """No header may get anybody in but the good token."""
    header = b"Bearer " + token.translate(None, b"\r\n\x00")
    if header.strip() == b"Bearer " + probe.token.encode():
        return
    answer = probe.ask(DETAIL, Authorization=header)
    check_answer(answer)
    assert answer.status in (400, 401), answer


def test_bent_tokens(eve: HttpProbe, placement: Placement, token: str) -> None:
    for number in rounds():
        rng = random.Random(number)
        for turn in range(MUTANTS):
            bent = mutated(rng, token.encode(), WORDS)
            with noted(bent, number):
                refused(eve, bent)
                if turn % 4 == 0:
                    probe = SocketProbe(placement.ws, token=bent.decode("latin-1").replace("\x00", ""))
                    probe.hang_up()
                    for frame in probe.frames():
                        check_frame(frame)
                    probe.close()


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_odd_heads(eve: HttpProbe, token: str) -> None:
    _, claims, signature = token.split(".")
    heads = st.fixed_dictionaries(
        {},
        optional={
            "alg": st.sampled_from(["HS256", "none", "HS512", "RS256", "ES256", "nOnE"]) | ODD,
            "typ": TEXTS | ODD,
            "kid": TEXTS | ODD,
            "crit": st.just(["exp"]) | ODD,
            "b64": st.booleans() | ODD,
            "jwk": ODD,
        },
    )

    def check(head: Any) -> None:
        refused(eve, f"{_part(head)}.{claims}.{signature}".encode())

    for number in rounds():
        explore(check, EXAMPLES, number, heads | ODD)


def test_odd_claims_under_a_good_signature(eve: HttpProbe, fuzzed: FuzzTarget, token: str) -> None:
    good = jwt.decode(token, options={"verify_signature": False})
    secret = fuzzed.secrets["jwt_secret"]
    odd = {name: st.just(value) | ODD | INTEGERS | INTEGERS.map(str) for name, value in good.items()}

    def check(changes: dict[str, Any]) -> None:
        signed = f"{_part({'alg': 'HS256', 'typ': 'JWS'})}.{_part({**good, **changes})}"
        key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signature = base64.urlsafe_b64encode(key.sign(signed.encode(), secret.encode())).rstrip(b"=").decode()
        answer = eve.ask(DETAIL, Authorization=f"Bearer {signed}.{signature}")
        check_answer(answer)
        assert answer.status in (200, 401), answer

    for number in rounds():
        explore(check, EXAMPLES, number, st.fixed_dictionaries({}, optional=odd))
