"""`xinyu drill`: two short ones on stage 4, whose verdicts, reports and exit code say that the promises held (G1 to
G7)."""

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


def test_a_message_process_is_killed_and_a_link_is_cut_and_no_promise_is_broken(tmp_path: Path) -> None:
    names = ["kill-message", "cut-link"]
    command = [sys.executable, "-m", "xinyu", "drill", *names, "--stage=4", "--clients=10", "--seconds=6"]
    engines = {  # the run's: these drills break none
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
    for name in names:
        [verdict] = [line for line in done.stdout.splitlines() if line.startswith(f"good {name}: ")]
        assert f"1/1 faults fired, violations G1:0 G2:0 G3:0 G4:0 G5:0 G6:0 G7:0; recovery: {name} " in verdict
    page = (tmp_path / "kill-message-stage4.html").read_text()
    assert "<svg" in page and "message_1 (pid " in page
    assert (tmp_path / "drills-stage4.html").read_text().count("<svg") == 2
    assert not list(tmp_path.glob("*.jsonl"))
