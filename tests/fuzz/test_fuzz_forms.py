"""Uploaded forms under fuzz (G12): parts, headers, boundaries, images; and nothing of them stays in the folder."""

from __future__ import annotations

import io
import json
import random

import pytest
from hypothesis import strategies as st
from PIL import Image

from testkit.fuzz_oracle import check_answer
from testkit.fuzz_probes import HttpProbe
from testkit.fuzz_target import FuzzTarget
from testkit.fuzzing import TEXTS, explore, mutated, noted, rounds
from testkit.placement import SHARD
from testkit.requests import FORM_ROUTES

EXAMPLES, MUTANTS = 40, 80
UPLOAD = "/api/v1/upload/init-multipart"


def image(kind: str) -> bytes:
    """A small one."""
    out = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 10, 60)).save(out, kind)
    return out.getvalue()


IMAGES = [image(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP")]


def form(boundary: bytes, parts: list[tuple[bytes, bytes]]) -> bytes:
    """Parts of (headers, content) and the end."""
    pieces = [b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts]
    return b"".join(pieces) + b"--" + boundary + b"--\r\n"


def named(name: str, file_name: str | None = None) -> bytes:
    """The header of a part."""
    tail = "" if file_name is None else f'; filename="{file_name}"'
    return f'Content-Disposition: form-data; name="{name}"{tail}'.encode("utf-8", "replace")


HEADS = st.one_of(
    st.builds(named, st.sampled_from(["file", "upload_id", "split_index", "split_num"]) | TEXTS, st.none() | TEXTS),
    st.builds(named, st.just("file"), st.just("a.png")),
    st.sampled_from(
        [b"", b"X", b"Content-Disposition: attachment", b"Content-Disposition: form-data", b": x", b"a: " * 2000]
    ),
    st.binary(max_size=60),
)
CONTENTS = st.sampled_from([b"", b"1", b"-1", b"9" * 30, *IMAGES, b"x" * (SHARD + 1), b"x" * 60_000, b"\r\n--B\r\n"])
CONTENTS = CONTENTS | st.binary(max_size=200)
BOUNDARIES = st.sampled_from([b"B", b"B", b"B", b"", b"x" * 100, b'"', b"\xff", b"; a=b", b"--"])
WORDS = (
    b"--B", b"--B--", b"\r\n", b"\r\n\r\n", b'name="file"', b'filename="x"', b"filename*=UTF-8''%ff%00",
    b'name="upload_id"', b"\x00", b"Content-Transfer-Encoding: base64\r\n", b"Content-Length: 5\r\n",
    b"Content-Disposition:", b"form-data", b'"', b"\\", b"\xff\xff",
)  # fmt: skip


@pytest.mark.parametrize("path", FORM_ROUTES)
def test_forms(path: str, eve: HttpProbe, fuzzed: FuzzTarget) -> None:
    url = f"/api/v1/{path}"
    upload_id = json.loads(eve.ask(UPLOAD, b'{"file_name":"f","file_size":9000}').body)["upload_id"]

    def check(boundary: bytes, parts: list[tuple[bytes, bytes]], said: bytes) -> None:
        sent = form(boundary, parts)
        check_answer(eve.ask(url, sent, Content_Type=b"multipart/form-data; boundary=" + said.translate(None, b"\r\n")))

    for number in rounds():
        explore(check, EXAMPLES, number, BOUNDARIES, st.lists(st.tuples(HEADS, CONTENTS), max_size=5), BOUNDARIES)
        rng = random.Random(f"{path}-{number}")
        for _ in range(MUTANTS):
            fields = [
                (named("upload_id"), upload_id.encode()),
                (named("split_index"), b"1"),
                (named("split_num"), b"3"),
            ]
            file = rng.choice(IMAGES)
            if rng.randrange(2):
                file = mutated(
                    rng, file, (b"IHDR", b"IDAT", b"\xff\xd8", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"), most=4
                )
            sent = form(b"B", [*fields, (named("file", "a.png"), file)])
            if rng.randrange(2):
                sent = mutated(rng, sent, WORDS)
            with noted(sent[:2000], number):
                check_answer(eve.ask(url, sent, Content_Type="multipart/form-data; boundary=B"))
    staged = [found for found in (fuzzed.data_dir / "media").rglob("*") if found.is_file() and "stag" in str(found)]
    assert staged == []
