"""`scripts/discovery_demo.py` shows what it says it shows, and ends by itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from testkit.engines import address_of
from testkit.placement import ROOT, environment

STORY = [
    r"watcher: demo-1 is ready at 127\.0\.0\.1:\d+",
    r"demo-1 gets SIGTERM",
    r"watcher: demo-1 is draining",
    r"watcher: demo-1 is gone",
    r"demo-2 gets SIGKILL",
    r"watcher: demo-2 is gone",
    r"demo-2 is started",
    r"watcher: demo-2 is ready",
    r"demo-2 is frozen",
    r"watcher: demo-2 is gone",
    r"demo-2 goes on",
    r"watcher: demo-2 is ready",
    r"watcher: demo-2 is draining",
    r"watcher: demo-2 is gone",
]


@pytest.mark.engine
def test_the_demo_tells_its_whole_story() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/discovery_demo.py", "--hosts", address_of("zookeeper")],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(".*".join(STORY), done.stdout, re.S), done.stdout


def test_without_a_zookeeper_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/discovery_demo.py", "--hosts", "nobody.invalid:1"],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and done.stderr.startswith("xinyu: no ZooKeeper") and done.stderr.count("\n") == 1
