"""`xinyu drill`: a short one on stage 4, whose verdict, report and exit code say that the promises held (G1 to G7)."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.engines import address_of
from testkit.mysql import made_schema
from testkit.placement import ROOT, environment

pytestmark = pytest.mark.scenario
DRILL_SECONDS = 120.0


def test_a_message_process_is_killed_and_no_promise_is_broken(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xinyu", "drill", "kill-message", "--stage=4", "--clients=10", "--seconds=8"]
    engines = {  # the run's: this drill breaks none
        "XINYU_STORAGE__DSN": made_schema(f"xinyu_d_{secrets.token_hex(6)}"),
        "XINYU_PRESENCE__REDIS_URL": address_of("redis"),
        "XINYU_DISCOVERY__ZOOKEEPER_HOSTS": address_of("zookeeper"),
    }
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        cwd=ROOT,
        env={**environment(), **engines},
        capture_output=True,
        text=True,
        timeout=DRILL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [verdict] = [line for line in done.stdout.splitlines() if line.startswith("good kill-message: ")]
    assert "1/1 faults fired, violations G1:0 G2:0 G3:0 G4:0 G5:0 G6:0 G7:0; recovery: kill-message " in verdict
    page = (tmp_path / "kill-message-stage4.html").read_text()
    assert "<svg" in page and "message_1 (pid " in page
    assert not list(tmp_path.glob("*.jsonl"))
