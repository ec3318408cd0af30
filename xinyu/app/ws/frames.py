"""Frames as they lie in a stream (RFC 6455 section 5.2): where they end, and those that nearly all clients send nearly
always, whole text frames, which need none of a general parser."""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler where it was installed
    from websockets.utils import apply_mask

FINAL_TEXT = 0x81
MASKED = 0x80
MASK_BYTES = 4
_EXTENDED = {126: 2, 127: 8}
"""Lengths in the second byte that say in how many bytes behind it the length is."""


class FrameBounds:
    """Follows a stream that somebody else parses, to know whether it is between two frames."""

    __slots__ = ("_head", "_missing")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    @property
    def between(self) -> bool:
        """Whether what comes next is the beginning of a frame."""
        return not self._head and not self._missing

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        at = 0
        while at < len(data):
            if self._missing:
                step = min(self._missing, len(data) - at)
                self._missing -= step
            else:
                step = min(_head_size(self._head) - len(self._head), len(data) - at)
                self._take_head(data[at : at + step])
            at += step

    def _take_head(self, part: bytes) -> None:
        self._head += part
        if len(self._head) == _head_size(self._head):
            length = self._head[1] & ~MASKED
            extended = _EXTENDED.get(length, 0)
            self._missing = int.from_bytes(self._head[2 : 2 + extended], "big") if extended else length
            self._head = b""


def _head_size(head: bytes) -> int:
    """How long a frame's head is, of which so much is known."""
    if len(head) < 2:
        return 2
    return 2 + _EXTENDED.get(head[1] & ~MASKED, 0) + (MASK_BYTES if head[1] & MASKED else 0)


def plain_texts(data: bytes, limit: int) -> tuple[list[str], int]:
    """The texts of the frames at the start of `data` that are whole, final, masked and UTF-8, and how many bytes these
    frames take. What comes behind is for a parser that knows all of RFC 6455, errors included: longer than `limit`
    bytes, fragments, control frames, the beginning of a frame."""
    texts: list[str] = []
    begin, size = 0, len(data)
    while size - begin >= 2 + MASK_BYTES and data[begin] == FINAL_TEXT:
        length, at = data[begin + 1] - MASKED, begin + 2
        if length == 126:
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            if length < 126:
                break  # as two bytes though one would do
        elif length == 127 or length < 0:
            break
        end = at + MASK_BYTES + length
        if end > size or length > limit:
            break
        try:
            texts.append(apply_mask(data[at + MASK_BYTES : end], data[at : at + MASK_BYTES]).decode())
        except UnicodeDecodeError:
            break
        begin = end
    return texts, begin
