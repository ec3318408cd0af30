"""`xinyu drill` without a stage: the list, its help, and one line for what is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drills.faults import DRILLS
from testkit.placement import ROOT


def drill(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xinyu", "drill", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_without_a_name_it_lists_the_drills() -> None:
    done = drill()
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, list(DRILLS), "")


def test_its_help_names_the_bounds() -> None:
    done = drill("--help")
    assert done.returncode == 0 and "12 messages per second" in " ".join(done.stdout.split())


@pytest.mark.parametrize("arguments", [("kill-everything",), ("all", "--clients=1000"), ("all", "--seconds=0")])
def test_wrong_use_starts_nothing(arguments: tuple[str, ...]) -> None:
    done = drill(*arguments)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr


def test_the_page_on_drills_describes_each() -> None:
    page = (ROOT / "docs" / "howto" / "drills.md").read_text(encoding="utf-8")
    assert [name for name in DRILLS if f"| `{name}` |" not in page] == []
