"""REST under fuzz (G12): bodies of every route, headers, query strings, raw bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import strategies as st

from testkit.fuzz_oracle import check_answer, check_http
from testkit.fuzz_probes import HttpProbe, exchange
from testkit.fuzz_target import FuzzTarget
from testkit.fuzzing import JSON_WORDS, almost, explore, mutated, noted, rounds, sampled, written
from testkit.placement import Placement
from xinyu.gateway.http.call import RawRoute, Route
from xinyu.gateway.routes import ROUTES

ENDING = "/api/v1/auth/logout"
JSON_ROUTES = [route for route in ROUTES if isinstance(route, Route) and route.path != ENDING]
EXAMPLES, MUTANTS, REQUESTS, HEADS = 10, 4, 400, 60

ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
NUMBERS = st.sampled_from(
    ["bytes=0-0", "bytes=-1", "bytes=5-2", "bytes=0-1,3-4", "bytes=99999999999999999999-", "-1", "1e5"]
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Authorization": ASCII | st.sampled_from(["Bearer", "Bearer  x", "Basic QQ==", "x" * 5000]),
        "X_Trace_ID": ASCII | st.sampled_from(["ab" * 16, "x" * 200]),
        "X_Forwarded_For": ASCII | st.sampled_from(["1.2.3.4, ::1", "," * 100, "x" * 1000]),
        "X_Forwarded_Proto": ASCII,
        "Origin": ASCII | st.just("http://localhost:1"),
        "Access_Control_Request_Method": ASCII,
        "Content_Type": ASCII
        | st.sampled_from(["multipart/form-data", 'multipart/form-data; boundary="', "text/plain; a=\xff"]),
        "Range": ASCII | NUMBERS,
        "If_None_Match": ASCII | st.just("*"),
        "If_Range": ASCII,
        "User_Agent": ASCII,
        "Cookie": ASCII,
        "Expect": st.sampled_from(["100-continue", "x"]),
    },
)  # fmt: skip
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["token", "msg_id", "talk_mode", "x", "%00", ""]),
        st.sampled_from(["", "1", "ab" * 16, "%ff", "%", "%zz", "a" * 3000, "%00", "&&==", "+%2B"]) | ASCII,
    ),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
PATHS = st.sampled_from([route.path for route in ROUTES]) | st.sampled_from(
    [
        "/",
        "//",
        "/ping",
        "/media/../../x",
        "/media/2026/01/01/" + "ab" * 16 + ".png",
        "/%2e%2e/%00",
        "/readyz",
        "/wss/x",
        "*",
    ]
)


def test_bodies(eve: HttpProbe) -> None:
    for number in rounds():
        for route in JSON_ROUTES:
            path, rng = route.path, random.Random(f"{route.path}-{number}")

            def check(body: object, path: str = path) -> None:
                check_answer(eve.ask(path, written(body)))

            with noted(path, number):
                explore(check, EXAMPLES, number, almost(route.body))
                for body in sampled(rng, route.body, MUTANTS):
                    check_answer(eve.ask(path, mutated(rng, body, JSON_WORDS)))


def _sendable(text: str) -> bytes:
    return text.encode("latin-1", "replace").translate(None, b"\r\n\x00").strip()


def test_headers_and_query_strings(eve: HttpProbe, placement: Placement) -> None:
    methods = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH"])

    def check(method: str, path: str, query: str, headers: dict[str, str]) -> None:
        if path == ENDING:
            return
        lines = [b"%b: %b" % (name.replace("_", "-").encode(), _sendable(value)) for name, value in headers.items()]
        target = _sendable(f"{path}?{query}".replace(" ", "+"))
        head = b"%b %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % (method.encode(), target)
        credentials = [] if "Authorization" in headers else [b"Authorization: Bearer " + eve.token.encode()]
        lines += [*credentials, b"Content-Length: 2"]
        check_http(exchange(placement.http, head + b"\r\n".join(lines) + b"\r\n\r\n{}"))

    for number in rounds():
        explore(check, 3 * HEADS, number, methods, PATHS, QUERIES, HEADERS)


def _requests(token: str) -> list[bytes]:
    mine = f"Host: x\r\nAuthorization: Bearer {token}\r\n".encode()
    form = (
        b'--B\r\nContent-Disposition: form-data; name="upload_id"\r\n\r\nx\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nPNG\r\n--B--\r\n'
    )
    return [
        b"POST /api/v1/user/detail HTTP/1.1\r\n" + mine + b"Content-Length: 2\r\n\r\n{}",
        b"POST /api/v1/contact/search HTTP/1.1\r\n" + mine + b'Content-Length: 24\r\n\r\n{"mobile":"13100000000"}',
        b"POST /api/v1/group/list HTTP/1.1\r\n" + mine + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /api/v1/upload/multipart HTTP/1.1\r\n" + mine
        + b"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n" % len(form) + form,
        b"GET /media/2026/01/01/" + b"ab" * 16 + b".png HTTP/1.1\r\n" + mine
        + b"Range: bytes=0-5\r\nIf-None-Match: *\r\n\r\n",
        b"OPTIONS /api/v1/user/detail HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost\r\n"
        b"Access-Control-Request-Method: POST\r\n\r\n",
        b"GET /wss/default.io?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"HEAD /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ]  # fmt: skip


WORDS = (
    b"GET", b"POST", b"HEAD", b"CONNECT", b"PRI * HTTP/2.0", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"\r\n", b"\n",
    b"\r\n\r\n", b"Content-Length: 0\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n",
    b": ", b"chunked", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"ffffffffffffffff\r\n", b"0\r\n",
    b"/api/v1/", b"/\xff\xfe", b"%", b"?", b"#", b"//", b"\x00", b"Sec-WebSocket-Version: 8\r\n",
    b"Sec-WebSocket-Key: \xff\r\n", b"X: " + b"y" * 9000 + b"\r\n", b"\xc3\xa9: \xe9\r\n",
)  # fmt: skip


@pytest.mark.parametrize("port", ["http", "ws", "admin"])
def test_bytes(port: str, fuzzed: FuzzTarget, token: str) -> None:
    seeds, url = _requests(token), str(fuzzed.addresses[port])
    for number in rounds():
        rng = random.Random(f"{port}-{number}")
        for _ in range(REQUESTS if port == "http" else REQUESTS // 4):
            sent = mutated(rng, rng.choice(seeds), WORDS) + rng.choice((b"", b"\r\n\r\n", rng.choice(seeds)))
            with noted(sent[:2000], number):
                check_http(exchange(url, sent))


def test_every_route_was_there() -> None:
    raw = [route.path for route in ROUTES if isinstance(route, RawRoute)]
    assert len(JSON_ROUTES) + len(raw) + 1 == len(ROUTES)
