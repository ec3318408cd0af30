"""The proof of both sides, message by message."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.rpc import identity
from xinyu.rpc.handshake import HANDSHAKE_LIMIT, AcceptingHandshake, DiallingHandshake, HandshakeFailed, Identity, Peer
from xinyu.rpc.wire import FrameDecoder, Notify


def frame_of(wire: bytes) -> Notify:
    (frame,) = FrameDecoder(HANDSHAKE_LIMIT, gzip=False).feed(wire)
    assert isinstance(frame, Notify)
    return frame


def changed(frame: Notify, **fields: object) -> Notify:
    return Notify(frame.notify, "", msgspec.json.encode({**msgspec.json.decode(frame.body), **fields}))


class Pair:
    """Two sides and the messages between them."""

    def __init__(self, dialling: Identity | None = None) -> None:
        self.accepting = AcceptingHandshake(identity("server", 7), gzip=True)
        self.dialling = DiallingHandshake(dialling or identity("caller", 3), gzip=False)
        self.challenge = frame_of(self.accepting.challenge())
        self.hello = frame_of(self.dialling.hello(self.challenge))


def test_both_learn_who_the_other_is() -> None:
    pair = Pair()
    peer, welcome = pair.accepting.answer(pair.hello)
    assert peer == Peer("caller", 3, False)
    assert pair.dialling.finish(frame_of(welcome)) == Peer("server", 7, True)


def test_the_challenge_says_nothing_but_a_nonce() -> None:
    first, second = (msgspec.json.decode(Pair().challenge.body) for _ in range(2))
    assert set(first) == {"version", "nonce"}
    assert first["nonce"] != second["nonce"]
    assert len(first["nonce"]) == 64


def test_another_secret_is_refused_by_either_side() -> None:
    stranger = Pair(identity("caller", secret=b"some other secret of the same kind"))
    with pytest.raises(HandshakeFailed, match="secret"):
        stranger.accepting.answer(stranger.hello)
    impostor = AcceptingHandshake(identity("server", secret=b"some other secret of the same kind"), gzip=False)
    pair = Pair()
    with pytest.raises(HandshakeFailed, match="secret"):
        hello = frame_of(pair.dialling.hello(frame_of(impostor.challenge())))
        pair.dialling.finish(changed(hello, proof="0" * 64).__class__(3, "", hello.body))


@pytest.mark.parametrize(
    "fields", [{"node": "other"}, {"epoch": 4}, {"gzip": True}, {"nonce": "0" * 64}, {"proof": ""}, {"proof": "é"}]
)
def test_nothing_in_a_hello_can_be_changed(fields: dict[str, object]) -> None:
    pair = Pair()
    with pytest.raises(HandshakeFailed):
        pair.accepting.answer(changed(pair.hello, **fields))


@pytest.mark.parametrize("fields", [{"node": "other"}, {"epoch": 8}, {"gzip": False}, {"proof": "0" * 64}])
def test_nothing_in_a_welcome_can_be_changed(fields: dict[str, object]) -> None:
    pair = Pair()
    welcome = frame_of(pair.accepting.answer(pair.hello)[1])
    with pytest.raises(HandshakeFailed):
        pair.dialling.finish(changed(welcome, **fields))


def test_a_proof_fits_no_other_connection() -> None:
    with pytest.raises(HandshakeFailed):
        Pair().accepting.answer(Pair().hello)


def test_a_proof_cannot_be_sent_back() -> None:
    pair = Pair(identity("server", 7))
    hello = msgspec.json.decode(pair.hello.body)
    echoed = {key: hello[key] for key in ("node", "epoch", "gzip", "proof")}
    with pytest.raises(HandshakeFailed):
        pair.dialling.finish(Notify(3, "", msgspec.json.encode(echoed)))


def test_the_order_is_kept() -> None:
    pair = Pair()
    _, welcome = pair.accepting.answer(pair.hello)
    with pytest.raises(HandshakeFailed):
        DiallingHandshake(identity(), gzip=False).finish(frame_of(welcome))
    with pytest.raises(HandshakeFailed):
        pair.accepting.answer(pair.challenge)
    with pytest.raises(HandshakeFailed, match="version 2"):
        pair.accepting.answer(changed(pair.hello, version=2))
    with pytest.raises(HandshakeFailed, match="version 2"):
        pair.dialling.hello(changed(pair.challenge, version=2))


@given(st.integers(0, 9), st.binary(max_size=200) | st.text(max_size=60).map(lambda text: msgspec.json.encode(text)))
def test_any_message_is_refused_as_such(notify: int, body: bytes) -> None:
    for side in (AcceptingHandshake(identity(), gzip=False).answer, DiallingHandshake(identity(), gzip=False).hello):
        with pytest.raises(HandshakeFailed):
            side(Notify(notify, "", body))


def test_secrets_are_long_and_not_shown() -> None:
    with pytest.raises(ValueError, match="16"):
        Identity("node", 1, b"short")
    for name in ("", "x" * 129, "line\nbreak"):
        with pytest.raises(ValueError, match="characters"):
            identity(name)
    assert "secret of a test" not in repr(identity())


def test_the_longest_name_fits_the_limit() -> None:
    name = "\U00020000" * 128
    pair = Pair(identity(name, 2**53 - 1))
    assert pair.accepting.answer(pair.hello)[0].node == name
