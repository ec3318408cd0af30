"""How two nodes prove to one another that they know the cluster's secret; sans-I/O.

    accepting node                            dialling node
    CHALLENGE {version, nonce}          ──▶
                                        ◀──   HELLO {version, nonce, node, epoch, gzip, proof}
    WELCOME {node, epoch, gzip, proof}  ──▶

A proof is HMAC-SHA256 by the secret over a label of the side, both nonces and everything that both have said so far: no
proof fits another connection, the other side or a changed message. Who does not know the secret learns a nonce and
nothing else. The bytes that follow are as safe as the network is: TLS is for networks that are not.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from xinyu.rpc.wire import UNREADABLE, Notify, encode_notify

CHALLENGE, HELLO, WELCOME = 1, 2, 3
"""NOTIFY numbers."""
HANDSHAKE_LIMIT = 1024
"""Payloads before the proof are shorter than this, and never compressed."""
VERSION = 1
SHORTEST_SECRET = 16
_NONCE_BYTES = 32
_LONGEST_NODE = 128


class HandshakeFailed(Exception):
    """The peer did not prove that it knows the secret."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is for other nodes, and the secret they share."""

    node: str
    epoch: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST_SECRET:
            raise ValueError(f"the cluster's secret has fewer than {SHORTEST_SECRET} bytes")
        if not 0 < len(self.node) <= _LONGEST_NODE or not self.node.isprintable():
            raise ValueError(f"a node's name has 1 to {_LONGEST_NODE} printable characters")


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end."""

    node: str
    epoch: int
    gzip: bool
    """Whether it wants long payloads compressed."""


class _Challenge(msgspec.Struct):
    version: int
    nonce: str


class _Hello(msgspec.Struct):
    version: int
    nonce: str
    node: str
    epoch: int
    gzip: bool
    proof: str


class _Welcome(msgspec.Struct):
    node: str
    epoch: int
    gzip: bool
    proof: str


_MessageT = TypeVar("_MessageT", _Challenge, _Hello, _Welcome)


class AcceptingHandshake:
    """The side that was dialled."""

    def __init__(self, identity: Identity, gzip: bool) -> None:
        self._identity = identity
        self._gzip = gzip
        self._nonce = secrets.token_hex(_NONCE_BYTES)

    def challenge(self) -> bytes:
        """The frame to begin with."""
        return _frame(CHALLENGE, _Challenge(VERSION, self._nonce))

    def answer(self, frame: Notify) -> tuple[Peer, bytes]:
        """Who dialled, and the frame that welcomes it. Raises HandshakeFailed."""
        hello = _read(frame, HELLO, _Hello)
        if hello.version != VERSION:
            raise HandshakeFailed(f"the peer speaks version {hello.version}, this node {VERSION}")
        _check_nonce(hello.nonce)
        said = (VERSION, self._nonce, hello.nonce, hello.node, hello.epoch, hello.gzip)
        _check(self._identity.secret, hello.proof, "dialling", *said)
        mine = (self._identity.node, self._identity.epoch, self._gzip)
        proof = _proof(self._identity.secret, "accepting", *said, *mine)
        return Peer(hello.node, hello.epoch, hello.gzip), _frame(WELCOME, _Welcome(*mine, proof))


class DiallingHandshake:
    """The side that dials."""

    def __init__(self, identity: Identity, gzip: bool) -> None:
        self._identity = identity
        self._gzip = gzip
        self._said: tuple[object, ...] | None = None

    def hello(self, frame: Notify) -> bytes:
        """The frame that answers a challenge. Raises HandshakeFailed."""
        challenge = _read(frame, CHALLENGE, _Challenge)
        if challenge.version != VERSION:
            raise HandshakeFailed(f"the peer speaks version {challenge.version}, this node {VERSION}")
        _check_nonce(challenge.nonce)
        nonce = secrets.token_hex(_NONCE_BYTES)
        mine = (self._identity.node, self._identity.epoch, self._gzip)
        self._said = (VERSION, challenge.nonce, nonce, *mine)
        return _frame(HELLO, _Hello(VERSION, nonce, *mine, _proof(self._identity.secret, "dialling", *self._said)))

    def finish(self, frame: Notify) -> Peer:
        """Who was dialled. Raises HandshakeFailed."""
        if self._said is None:
            raise HandshakeFailed("welcomed before any challenge")
        welcome = _read(frame, WELCOME, _Welcome)
        theirs = (welcome.node, welcome.epoch, welcome.gzip)
        _check(self._identity.secret, welcome.proof, "accepting", *self._said, *theirs)
        return Peer(*theirs)


def _frame(notify: int, message: _Challenge | _Hello | _Welcome) -> bytes:
    return encode_notify(notify, "", msgspec.json.encode(message))


def _read(frame: Notify, notify: int, type_: type[_MessageT]) -> _MessageT:
    if frame.notify != notify:
        raise HandshakeFailed(f"notification {frame.notify} instead of {notify}")
    try:
        return msgspec.json.decode(frame.body, type=type_)
    except UNREADABLE as error:
        raise HandshakeFailed("a message of another form") from error


def _check_nonce(nonce: str) -> None:
    if len(nonce) != 2 * _NONCE_BYTES:
        raise HandshakeFailed("a nonce of the wrong length")


def _proof(secret: bytes, *said: object) -> str:
    return hmac.digest(secret, msgspec.json.encode(("xinyu rock", *said)), "sha256").hex()


def _check(secret: bytes, proof: str, *said: object) -> None:
    if not hmac.compare_digest(proof.encode(), _proof(secret, *said).encode()):
        raise HandshakeFailed("the peer does not know this cluster's secret")
