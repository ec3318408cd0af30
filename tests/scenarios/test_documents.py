"""What the README, the tutorial and the operator's page tell people to type works as it stands, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.people import Town
from testkit.placement import Placement
from xinyu.media.settings import MediaSettings

pytestmark = pytest.mark.scenario
SHAPES = ("monolith",)
SETTINGS = {"media": MediaSettings().model_dump()}
"""Readers have the bounds of the shipped configuration."""
ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SECONDS = 60


def blocks(page: str, language: str) -> list[str]:
    return [code for kind, code in FENCED.findall((ROOT / page).read_text(encoding="utf-8")) if kind == language]


async def run(command: list[str], cwd: Path = ROOT, **environment: str) -> str:
    """Run a command to its end; what it printed. It must succeed and say nothing on stderr."""

    def work() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=SECONDS
        )

    done = await asyncio.to_thread(work)
    assert done.returncode == 0 and not done.stderr, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def at(code: str, placement: Placement) -> str:
    """An example with the addresses of this server."""
    (admin,) = placement.admin_urls.values()
    return code.replace("http://127.0.0.1:8080", placement.http).replace("http://127.0.0.1:8089", admin)


async def shell(placement: Placement, page: str, cwd: Path = ROOT, **environment: str) -> str:
    """All shell examples of a page, one after the other."""
    script = at("\n".join(blocks(page, "bash")), placement)
    return await run(["bash", "-euo", "pipefail", "-c", script], cwd, **environment)


async def test_the_tutorial(placement: Placement) -> None:
    answers = [json.loads(line) for line in (await shell(placement, "docs/tutorial.md")).splitlines()]
    _, accepted, sent, listed, records, _ = answers
    assert accepted["session"]["unread_num"] == 0
    assert (sent["sequence"], sent["status"]) == (2, 1)
    assert [item["unread_num"] for item in listed["items"]] == [1]
    assert [item["sequence"] for item in records["items"]] == [2, 1]

    story = [sys.executable, "docs/tutorial_story.py"]
    told = await run([*story, "first"], BASE=placement.http)
    assert told == "".join(code for code in blocks("docs/tutorial.md", "") if not re.match(r"git |\.venv", code))
    await placement.restart("monolith")
    again = (await run([*story, "second"], BASE=placement.http)).splitlines()
    assert sorted(again) == ["Bo dense: True last said: hello Bo", "garden dense: True last said: three"]


async def test_the_readme(placement: Placement) -> None:
    def others(code: str) -> str:  # the tutorial's users have these numbers
        return code.replace("1390000000", "1370000000")

    script = others(at("\n".join(blocks("README.md", "bash")), placement))
    lines = (await run(["bash", "-euo", "pipefail", "-c", script])).splitlines()
    assert json.loads(lines[2])["sequence"] == 2
    for page in ("README.md", "README.zh.md"):
        (program,) = blocks(page, "python")
        said = (await run([sys.executable, "-c", others(at(program, placement))])).splitlines()
        assert said[-1].startswith("Ana ")


async def test_operating_it(placement: Placement, tmp_path: Path) -> None:
    (data,) = placement.data_dirs.values()
    async with Town(placement) as town:
        await town.people("Ann", "Bob")  # whose greeting is an entry to be found in the back-up
    said = await shell(placement, "docs/howto/operate.md", tmp_path, DATA=str(data))
    assert said.startswith("ok\n")
    assert '"ready":true' in said and "xinyu_message_stored_total" in said and '"jwt_secret":"****"' in said
    assert (tmp_path / "backup" / "secrets" / "jwt_secret").exists()
    with sqlite3.connect(tmp_path / "backup" / "xinyu.db") as copy:
        assert copy.execute("SELECT count(*) FROM message_entry").fetchone()[0] > 0
    copy.close()

    # the server writes into the same file as before: a visit must not take its log away
    live = f"file:{data / 'xinyu.db'}?mode=ro"
    counts = []
    for number in range(2):
        body = json.dumps({"mobile": f"1380013900{number}", "channel": "register"})
        await run(["curl", "-sS", "--fail", "-o", os.devnull, f"{placement.http}/api/v1/common/send-sms", "-d", body])
        with contextlib.closing(sqlite3.connect(live, uri=True)) as visit:
            counts.append(visit.execute("SELECT count(*) FROM user_code").fetchone()[0])
    assert counts[1] == counts[0] + 1
