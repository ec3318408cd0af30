"""The frames that nearly all clients send nearly always: whole text frames, which need none of a general parser."""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler where it was installed
    from websockets.utils import apply_mask

FINAL_TEXT = 0x81
MASKED = 0x80
_SHORT, _LONG = 126, 127
"""Lengths in the second byte that say where the length is: in the next two bytes, or in the next eight."""


def plain_texts(data: bytes, limit: int) -> tuple[list[str], int]:
    """The texts of the frames at the start of `data` that are whole, final, masked and of ASCII alone, and how many
    bytes these frames take. What comes behind is for a parser that knows all of RFC 6455, errors included: longer than
    `limit` bytes, fragments, control frames, other characters, the beginning of a frame."""
    texts: list[str] = []
    begin, size = 0, len(data)
    while size - begin > 5 and data[begin] == FINAL_TEXT:
        length, at = data[begin + 1] - MASKED, begin + 2
        if length == _SHORT:
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            if length < _SHORT:
                break  # as two bytes though one would do
        elif length == _LONG or length < 0:
            break
        end = at + 4 + length
        if end > size or length > limit:
            break
        text = apply_mask(data[at + 4 : end], data[at : at + 4])
        if not text.isascii():
            break
        texts.append(text.decode("ascii"))
        begin = end
    return texts, begin
