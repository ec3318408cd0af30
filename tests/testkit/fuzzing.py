"""What fuzzers are made of: how long, with which seeds, JSON that almost fits a type, bytes that are almost right.

Without being told otherwise every fuzzer makes one round, always the same. `XINYU_TEST_FUZZ_SECONDS` gives each that
many seconds of further rounds, `XINYU_TEST_FUZZ_SEED` another first seed; a failure names the seed of its round.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec import inspect as mi

from testkit.requests import OPEN_ROUTES, ROUTES, SOCKET_REQUESTS

Json = st.SearchStrategy[Any]
SECONDS = float(os.environ.get("XINYU_TEST_FUZZ_SECONDS", "0"))
FIRST_SEED = int(os.environ.get("XINYU_TEST_FUZZ_SEED", "0"))


def rounds() -> Iterator[int]:
    """The seeds of a fuzzer's rounds."""
    end, number = time.monotonic() + SECONDS, FIRST_SEED
    while True:
        yield number
        number += 1
        if time.monotonic() >= end:
            return


def explore(check: Callable[..., None], examples: int, number: int, *strategies: Json) -> None:
    """Let hypothesis try `check` on this many examples of its own, the same for the same number."""
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    seed(number)(limits(given(st.tuples(*strategies))(lambda tried: check(*tried))))()


@contextmanager
def noted(what: object, number: int) -> Iterator[None]:
    """Say with a failure what was tried, and how to try it again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"tried: {what!r}; XINYU_TEST_FUZZ_SEED={number}")
        raise


def _by_name() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for body in (*ROUTES.values(), *OPEN_ROUTES.values(), *SOCKET_REQUESTS.values()):
        for name, value in body.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    found["type"] += ["image", "forward", "code", "mixed", "file", "vote"]
    found["talk_mode"] += [2, 3]
    return found


BY_NAME = _by_name()
"""Values of the right form, by the name of the field that holds them."""
LONG = "x" * 5000
INTEGERS = st.sampled_from([0, 1, 2, 7, -1, 2**31, 2**53, 2**63, 2**64, 10**30, -(2**63)]) | st.integers()
TEXTS = st.sampled_from(
    ["", "a", "0", "1", "ab" * 16, LONG, "\x00", "\ud800", "'; DROP TABLE x; --", "../../etc/passwd"]
)
TEXTS = TEXTS | st.text(st.characters(), max_size=40)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS
ODD = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
) | st.sampled_from([[1] * 3000, [[]] * 500, {LONG: LONG}, json.loads("[" * 300 + "]" * 300)])  # fmt: skip
"""Any JSON, and some that Python's writer makes though it is none: NaN, Infinity, lone surrogates."""


def almost(kind: Any, integers: Json = INTEGERS) -> Json:
    """JSON that mostly fits a type: in most places what fits, in some anything."""
    return _almost(mi.type_info(kind) if not isinstance(kind, mi.Type) else kind, integers, 0)


def _almost(kind: mi.Type, integers: Json, depth: int, name: str = "") -> Json:
    fits = _fitting(kind, integers, depth)
    if name in BY_NAME:
        fits = st.sampled_from(BY_NAME[name]) | fits
    return st.one_of(fits, fits, fits, fits, ODD if integers is INTEGERS else TEXTS | st.none())


def _fitting(kind: mi.Type, integers: Json, depth: int) -> Json:
    if isinstance(kind, mi.StructType) and depth < 4:
        return _struct(kind, integers, depth)
    if isinstance(kind, mi.UnionType):
        return st.one_of(*(_fitting(one, integers, depth) for one in kind.types))
    if isinstance(kind, mi.ListType | mi.VarTupleType | mi.SetType | mi.CollectionType):
        return st.lists(_almost(kind.item_type, integers, depth + 1), max_size=3)
    if isinstance(kind, mi.DictType):
        keys = st.integers().map(str) | TEXTS
        return st.dictionaries(keys, _almost(kind.value_type, integers, depth + 1), max_size=3)
    if isinstance(kind, mi.EnumType):
        return st.sampled_from([member.value for member in kind.cls])
    if isinstance(kind, mi.LiteralType):
        return st.sampled_from(list(kind.values))
    plain = {mi.IntType: integers, mi.FloatType: st.floats(), mi.BoolType: st.booleans(), mi.NoneType: st.none()}
    return next((made for known, made in plain.items() if isinstance(kind, known)), TEXTS)


def _struct(kind: mi.StructType, integers: Json, depth: int) -> Json:
    must: dict[str, Json] = {}
    may: dict[str, Json] = {}
    for field in kind.fields:
        made = _almost(field.type, integers, depth + 1, field.encode_name)
        (must if field.required else may)[field.encode_name] = made
    usual = st.fixed_dictionaries(must, optional=may)
    if kind.array_like:
        return usual.map(lambda fields: list(fields.values()))
    less = st.tuples(usual, st.sampled_from([*must, *may, ""])).map(
        lambda t: {k: v for k, v in t[0].items() if k != t[1]}
    )
    return st.one_of(usual, usual, usual, less)


def written(value: Any) -> bytes:
    """As a careless client writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


Edit = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def _flip(rng: random.Random, data: bytes, _words: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes, _words: Sequence[bytes]) -> bytes:
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:a] + data[b:]


def _repeat(rng: random.Random, data: bytes, _words: Sequence[bytes]) -> bytes:
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:b] + data[a:b] * rng.choice((1, 2, 20)) + data[b:]


def _insert(rng: random.Random, data: bytes, words: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice([*words, rng.randbytes(rng.randrange(1, 30))]) + data[at:]


def _swap(rng: random.Random, data: bytes, words: Sequence[bytes]) -> bytes:
    """One word for another."""
    there = [word for word in words if word and word in data]
    return data.replace(rng.choice(there), rng.choice(list(words)), 1) if there else _flip(rng, data, words)


EDITS: Sequence[Edit] = (_flip, _flip, _cut, _repeat, _insert, _swap, _swap)


def mutated(rng: random.Random, data: bytes, words: Sequence[bytes] = (), most: int = 3) -> bytes:
    """`data` with one or a few things wrong; `words` are what has a meaning there."""
    for _ in range(rng.randrange(1, most + 1)):
        if data:
            data = rng.choice(EDITS)(rng, data, words)
    return data[:300_000]


JSON_WORDS = (
    b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999", b"9" * 400, b'""', b'"\\ud800"', b'"\\u0000"', b"{}",
    b"[]", b"[" * 2000, b'{"a":' * 1500, b"\xff", b"\xef\xbb\xbf", b",", b":", b'"', b'"talk_mode":1',
    b'"to_from_id":1', b'"id":1',
)  # fmt: skip


def sampled(rng: random.Random, kind: type[msgspec.Struct], count: int) -> list[bytes]:
    """Bodies to start from: every field of the right form."""
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    return [written({name: rng.choice(BY_NAME.get(name, [1, "x", ["x"]])) for name in fields}) for _ in range(count)]
