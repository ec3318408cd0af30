"""The examples of docs/howto/sdk.md: the first one runs as it is, the others at least name things that exist."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.fake_gateway import FakeGateway, item, push, record
from testkit.fake_rest import serve_routes
from xinyu.sdk import Client, Talk

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "sdk.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


@pytest.mark.parametrize("example", EXAMPLES[1:])
def test_examples_name_things_that_exist(example: str) -> None:
    exec(compile(example, str(PAGE), "exec"), {"Client": Client, "Talk": Talk, "token": "t"})


async def test_the_first_example_runs(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def login(request: Request) -> Response:
        return JSONResponse({"type": "Bearer", "access_token": "t", "expires_in": 60})

    main: list[Any] = []
    monkeypatch.setattr(asyncio, "run", main.append)
    async with serve_routes([Route("/api/v1/auth/login", login, methods=["POST"])]) as address:
        source = EXAMPLES[0].replace('"http://127.0.0.1:8080"', f'"{address}", ws_url="{gateway.ws_url}"')
        exec(compile(source, str(PAGE), "exec"), {})
        running = asyncio.create_task(main[0])
        peer = await gateway.accept()
        await peer.greet(first=True)
        sent = await peer.request("message.send")
        await peer.reply(sent, {**record(1, from_id=1), "msg_id": sent.payload["msg_id"], "talk_id": 5})
        await peer.serve_sync(item(5, 1, record(1, from_id=1)))  # where the new conversation begins
        await peer.send("im.message", push(5, 2, text="hello yourself"))
        assert (await peer.request("conversation.read")).payload["seq"] == 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert capsys.readouterr().out == "stored as 5 1\nn hello yourself\n"
