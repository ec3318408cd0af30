"""Rock under fuzz (G12): who proves nothing, who does and then raves, and the predecessor's processes, who need not."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import strategies as st

from testkit.fuzz_oracle import check_response
from testkit.fuzz_probes import RockProbe
from testkit.fuzz_target import FuzzTarget
from testkit.fuzzing import JSON_WORDS, ODD, TEXTS, almost, explore, mutated, noted, rounds, written
from xinyu.app.roles import ROLES
from xinyu.gateway.predecessor.bodies import DELIVER_TO_USER, GET_ROUTE, HEARTBEAT, SET_OFFLINE, SET_ONLINE
from xinyu.rpc.handshake import HELLO, DiallingHandshake, Identity
from xinyu.rpc.spec import MethodSpec, spec_of
from xinyu.rpc.wire import Notify, Response, encode_notify, encode_request, encode_response

EXAMPLES, MUTANTS, CONNECTIONS = 6, 3, 150
FOREIGN = st.sampled_from([0, -1, 2**31, 2**40, 2**53, -(2**53)]) | st.integers(10**6, 2**53)
"""Numbers that are nobody's: a node may do anything to anybody, and those who talk meanwhile must be left alone."""
METHODS: list[MethodSpec] = [
    method for spec in ROLES.values() for port in spec.ports for method in spec_of(port).methods.values()
]
WORDS = (
    b"\xab\xcd\x01\x00", b"\xab\xcd\x01\x01", b"\xab\xcd\x02\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00", b"\x01", b"\x02", b"\x03", b"\x80\x80\x80\x80\x80", b"\x1f\x8b\x08\x00", b"{}", b"\xff",
)  # fmt: skip


class Node:
    """A node whose connection is made again when what was said ended it."""

    def __init__(self, address: str, secret: str) -> None:
        self._open = lambda: RockProbe(address, secret)
        self.probe = self._open()

    def call(self, command: int, body: bytes, trace_id: str = "") -> None:
        answer = self.probe.call(command, body, trace_id)
        if answer is None:
            self.probe.close()
            self.probe = self._open()
        else:
            check_response(answer)


def test_strangers(fuzzed: FuzzTarget) -> None:
    handshake = DiallingHandshake(Identity("fuzzer", 1, b"not the secret of this cluster"), True)
    challenge = RockProbe(fuzzed.rock)
    told = challenge.next()
    challenge.close()
    assert isinstance(told, Notify)
    hello = handshake.hello(told)
    seeds = [
        hello,
        encode_request(1, 301, "", b"{}"),
        encode_notify(HELLO, "", b"{}" * 200),
        encode_response(1, 1, 200, "ok", "", b""),
    ]
    for number in rounds():
        rng = random.Random(number)
        for _ in range(CONNECTIONS):
            sent = mutated(rng, rng.choice(seeds), WORDS)
            with noted(sent[:500], number):
                probe = RockProbe(fuzzed.rock)
                probe.send(sent)
                probe.hang_up()
                frames = []
                while (frame := probe.next()) is not None:
                    frames.append(frame)
                probe.close()
                assert [type(found) for found in frames] in ([Notify], []), frames  # the challenge, unless it was reset


def test_calls_of_nodes(fuzzed: FuzzTarget) -> None:
    node = Node(fuzzed.rock, fuzzed.rpc_secret)
    for number in rounds():
        for method in METHODS:
            rng, body = random.Random(f"{method.label}-{number}"), almost(method.request_type, FOREIGN)
            tried: list[bytes] = []

            def check(arguments: Any, method: MethodSpec = method, tried: list[bytes] = tried) -> None:
                tried.append(written(arguments))
                node.call(method.command, tried[-1])

            with noted(method.label, number):
                explore(check, EXAMPLES, number, body)
                for _ in range(MUTANTS):
                    node.call(method.command, mutated(rng, rng.choice(tried), JSON_WORDS[:-3]))
    node.probe.close()


def test_frames_of_nodes(fuzzed: FuzzTarget) -> None:
    seeds = [
        encode_request(1, GET_ROUTE, "ab" * 16, b"{}"),
        encode_request(2, 10**6, "", b'{"user_ids":[1]}' * 400, True),
        encode_notify(4, "", b"{}"),
        encode_notify(7, "", b'{"sn":1}'),
        encode_response(3, 1, 200, "ok", "", b"{}"),
    ]
    for number in rounds():
        rng = random.Random(number)
        for _ in range(CONNECTIONS):
            sent = b"".join(mutated(rng, rng.choice(seeds), WORDS) for _ in range(rng.randrange(1, 4)))
            with noted(sent[:500], number):
                probe = RockProbe(fuzzed.rock, fuzzed.rpc_secret)
                probe.send(sent)
                probe.hang_up()
                while (frame := probe.next()) is not None:
                    if isinstance(frame, Response):
                        check_response(frame)
                probe.close()


def test_the_predecessors_processes(fuzzed: FuzzTarget) -> None:
    address = str(fuzzed.addresses["predecessor"])
    told = st.fixed_dictionaries(
        {},
        optional={
            "uid": FOREIGN | FOREIGN.map(str) | TEXTS | st.none(),
            "gateway_rpc": st.sampled_from(["127.0.0.1:1", "[::1]:1", "1.2.3.4:5", "x", ":", "127.0.0.1:99999"]) | ODD,
            "ttl_sec": FOREIGN | ODD,
            "event": st.just("im.message") | ODD,
            "payload": ODD,
        },
    )
    probe = RockProbe(address)

    def check(command: int, body: Any, cut: int) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = probe.call(command, data[:cut] if cut < 20 else data)
        assert answer is not None and answer.result in (200, 400, 403, 404), answer

    commands = st.sampled_from([DELIVER_TO_USER, SET_ONLINE, SET_OFFLINE, HEARTBEAT, GET_ROUTE, 1, 2**32 - 1])
    for number in rounds():
        explore(check, CONNECTIONS, number, commands, told | ODD | st.binary(max_size=60), st.integers(0, 200))
    probe.close()
