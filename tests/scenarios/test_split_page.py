"""What the page on stages tells people to type works as it stands; only ports and folder are other ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.placement import ROOT, environment

pytestmark = pytest.mark.scenario
FENCED = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
SCRIPT = "scripts/gateways_run.sh"
SECONDS = 60


def commands(folder: Path) -> str:
    """The shell examples of the page, one after the other, with the stage's processes gone at the end."""
    code = "".join(FENCED.findall((ROOT / "docs/howto/split.md").read_text(encoding="utf-8")))
    code = re.sub(rf"^{SCRIPT} (start|stop) (\S+)", rf"{SCRIPT} \1 \2 --folder {folder}", code, flags=re.M)
    code = re.sub(rf"^({SCRIPT} start .*)", r"\1 --ports free", code, flags=re.M)
    code = code.replace(".run/cluster", str(folder)).replace(".venv/bin/xinyu", f"{sys.executable} -m xinyu")
    return f"trap '{SCRIPT} stop --folder {folder} >&2' EXIT\n{code}"


def test_stage_1_of_the_page(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands(tmp_path)],
        cwd=ROOT,
        env={**environment(), "XINYU_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "They are contacts" in done.stdout and "gateway_ws_2" in done.stdout
    assert "stage 1 is stopped" in done.stdout + done.stderr
