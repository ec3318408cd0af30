"""`xinyu simulate`: many seeds in one line, one seed with its trace, and what is kept of a bad one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testkit.placement import ROOT
from xinyu.cli import simulate
from xinyu.cli.program import main
from xinyu.drill.history import Acked, read_lines
from xinyu.simulation.plan import ALL
from xinyu.simulation.run import Outcome


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["simulate", *arguments])
    return int(exit_.value.code or 0)


def test_many_seeds_are_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xinyu", "simulate", "blink", "--seeds", "2", "--first", "7"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("2 runs (seeds 7 to 8), 0 bad; ") and done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_seed_is_told_as_it_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("restart-redis", "--seed", "2") == 0
    told = capsys.readouterr().out
    assert "restart-redis …" in told and "presence lost its memory; registering all sessions again" in told
    assert any(line.startswith("seed 2: ") for line in told.splitlines())


def test_the_history_of_a_bad_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    play = simulate.simulate

    def bad(*arguments: object) -> Outcome:
        return play(*arguments)._replace(failures=("something that must not be",))  # type: ignore[arg-type]

    monkeypatch.setattr(simulate, "simulate", bad)
    assert run("blink", "--seed", "3") == 1
    assert "again: xinyu simulate blink --seed 3; its history: .run/simulation/seed-3.jsonl" in capsys.readouterr().out
    kept = (tmp_path / ".run" / "simulation" / "seed-3.jsonl").read_bytes()
    assert read_lines(kept.splitlines()).of(Acked)


def test_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("kill-everything") == 2
    assert "there is no fault 'kill-everything'" in capsys.readouterr().err


def test_the_page_on_simulation_describes_each_fault() -> None:
    page = (ROOT / "docs" / "howto" / "simulate.md").read_text(encoding="utf-8")
    assert [name for name in ALL if f"`{name}`" not in page] == []
