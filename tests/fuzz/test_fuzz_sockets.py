"""WebSockets under fuzz (G12): payloads of every event, envelopes, frames bit by bit, parameters of the address."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from hypothesis import strategies as st

from testkit.fuzz_oracle import CLOSES, check_frame, check_reply
from testkit.fuzz_probes import BINARY, CLOSE, PING, TEXT, Refused, SocketFrame, SocketProbe, ws_frame
from testkit.fuzzing import JSON_WORDS, ODD, TEXTS, almost, explore, mutated, noted, rounds, sampled, written
from testkit.placement import MAX_FRAME, Placement
from xinyu.gateway.routes import EVENTS

EXAMPLES, MUTANTS, ENVELOPES, CONNECTIONS = 25, 15, 80, 70
CONTINUED, FINAL, RSV1 = 0, 0x80, 0x40
ids = map("r{}".format, itertools.count())


class Asker:
    """A socket that is opened again when what was said closed it."""

    def __init__(self, url: str, token: str) -> None:
        self._open = lambda: SocketProbe(url, token=token, sync="1")
        self.probe = self._open()

    def ask(self, frame: bytes, id_: str) -> None:
        """Say something that has one answer. It may be so broken that it has none: then what is asked next has."""
        self.probe.say(frame)
        after = next(ids)
        self.probe.say(json.dumps({"event": "ping", "id": after}))
        for found in self.probe.frames():
            check_frame(found)
            if found.opcode == TEXT and (told := json.loads(found.payload)).get("id") in (id_, after):
                check_reply(told)
                if told["id"] == after:
                    return
        self.close()
        self.probe = self._open()

    def close(self) -> None:
        self.probe.close()


@pytest.fixture
def asker(placement: Placement, token: str):
    made = Asker(placement.ws, token)
    yield made
    made.close()


def test_payloads(asker: Asker) -> None:
    for number in rounds():
        for name, event in EVENTS.items():
            rng = random.Random(f"{name}-{number}")

            def check(payload: object, name: str = name) -> None:
                id_ = next(ids)
                asker.ask(written({"event": name, "id": id_, "payload": payload}), id_)

            with noted(name, number):
                explore(check, EXAMPLES, number, almost(event.payload))
                for body in sampled(rng, event.payload, MUTANTS):
                    id_ = next(ids)
                    frame = b'{"event":"%b","id":"%b","payload":%b}' % (name.encode(), id_.encode(), body)
                    asker.ask(mutated(rng, frame, JSON_WORDS), id_)


ENVELOPE = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from([*EVENTS, "ping", "ack", "echo", "pong", "reply"]) | ODD,
        "id": st.sampled_from(["x", 1, -1, 2**53, "y" * 201, None]) | ODD,
        "payload": ODD,
        "ackid": st.sampled_from(["1.1", "1.", ".", "9" * 40 + ".1", "-1.-1", "1.1.1"]) | ODD,
        "cursors": st.dictionaries(TEXTS, st.integers(), max_size=5) | ODD,
        "trace_id": TEXTS | ODD,
    },
)


def test_envelopes(asker: Asker) -> None:
    for number in rounds():
        explore(lambda envelope: asker.ask(written(envelope), ""), ENVELOPES, number, ENVELOPE | ODD)


def test_what_breaks_the_protocol_is_closed_with_its_code(placement: Placement, token: str) -> None:
    broken = {
        "reserved bit": (ws_frame(b"{}", first=FINAL | RSV1), 1002),
        "unknown opcode": (ws_frame(b"{}", 3), 1002),
        "not masked": (ws_frame(b"{}", masked=False), 1002),
        "ping in parts": (ws_frame(b"", PING, first=0), 1002),
        "long ping": (ws_frame(b"x" * 126, PING), 1002),
        "nothing to continue": (ws_frame(b"{}", CONTINUED), 1002),
        "two at once": (ws_frame(b"{", first=0) + ws_frame(b"}"), 1002),
        "close of one byte": (ws_frame(b"x", CLOSE), 1002),
        "close with a code that is none": (ws_frame(b"\x00\x07", CLOSE), 1002),
        "close with bad UTF-8": (ws_frame(b"\x03\xe8\xff", CLOSE), 1007),
        "bad UTF-8": (ws_frame(b"\xff"), 1007),
        "a lone surrogate": (ws_frame(b'"\xed\xa0\x80"'), 1007),
        "bad UTF-8 in parts": (ws_frame(b"\xff", first=0) + ws_frame(b"", CONTINUED), 1007),
        "too long": (ws_frame(b" " * (MAX_FRAME + 1)), 1009),
        "too long, it says": (ws_frame(b"", size=2**62), 1009),
        "too long in parts": (ws_frame(b" " * 9000, first=0) + 4 * ws_frame(b" " * 9000, CONTINUED, first=0), 1009),
    }
    for what, (sent, code) in broken.items():
        probe = SocketProbe(placement.ws, token=token, sync="1")
        probe.send(sent)
        closes = [frame.code for frame in probe.frames() if frame.opcode == CLOSE]
        probe.close()
        assert closes == [code], what
        assert code in CLOSES


FRAMES = st.lists(
    st.tuples(
        st.sampled_from([FINAL, FINAL, 0, FINAL | RSV1, 0x70]),
        st.sampled_from([TEXT, TEXT, CONTINUED, BINARY, CLOSE, PING, 10, 3, 15]),
        st.sampled_from([b"", b"{}", b'{"event":"ping"}', b'{"event":"echo",', b"\xff", b"\x03\xe8", b"x" * 200])
        | st.binary(max_size=40),
        st.sampled_from([True, True, True, False]),
        st.none() | st.sampled_from([0, 1, 125, 126, 65_536, 2**31, 2**63 - 1]),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


def test_frames(placement: Placement, token: str) -> None:
    def said(sent: bytes) -> list[SocketFrame]:
        probe = SocketProbe(placement.ws, token=token, sync="1")
        probe.send(sent)
        probe.hang_up()
        found = list(probe.frames())
        probe.close()
        return found

    def check(frames: list[tuple[int, int, bytes, bool, int | None]]) -> None:
        sent = b"".join(
            ws_frame(payload, opcode, first, masked, size) for first, opcode, payload, masked, size in frames
        )
        for frame in said(sent):
            check_frame(frame)

    usual = b"".join(map(ws_frame, (b'{"event":"ping"}', b'{"event":"conversation.list","id":1,"payload":{}}', b"{}")))
    for number in rounds():
        explore(check, CONNECTIONS, number, FRAMES)
        rng = random.Random(number)
        for _ in range(CONNECTIONS):
            sent = mutated(rng, usual, (b"\x81\x7f", b"\x88\x82", b"\x01", b"\xff" * 9, b"\x89\xfe"), most=6)
            with noted(sent, number):
                for frame in said(sent):
                    check_frame(frame)


def test_addresses(placement: Placement, token: str) -> None:
    names = st.sampled_from(["token", "platform", "device_id", "sync", "", "x"])
    values = TEXTS | st.sampled_from([token, "1", "web", "d" * 101, "%", "a&b=c", "x" * 9000])

    def check(query: dict[str, str]) -> None:
        written_query = {"token": token, **query}
        asked = {name: value.encode("utf-8", "replace").decode() for name, value in written_query.items()}
        try:
            probe = SocketProbe(placement.ws, **asked)
        except Refused as refused:
            assert refused.args[0] in (414, 431) and len("".join(asked.values())) > 2500
            return
        probe.say('{"event":"conversation.list","id":1}')
        probe.hang_up()
        for frame in probe.frames():
            check_frame(frame)
        probe.close()

    for number in rounds():
        explore(check, CONNECTIONS, number, st.dictionaries(names, values, max_size=4))
