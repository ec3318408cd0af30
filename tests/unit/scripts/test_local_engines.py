"""`scripts/engines` starts, shares and stops its own processes, and touches no other."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_engines import packages
from local_engines.instance import Instance
from local_engines.process import EngineError, identity, is_ours, terminate
from local_engines.servers import find_program
from testkit.echo_engine import Echo

# An engine outlives the object that started it: that is its purpose, and what Popen warns of.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


class Dying(Echo):
    """Ends at once, saying why; with `in use` in what it says it is tried again on another port."""

    def __init__(self, words: str) -> None:
        self.program = f'import sys; open(sys.argv[1] + "/starts", "a").write("x"); sys.exit("{words}")'


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Instance]:
    instance = Instance(Echo(), tmp_path)
    yield instance
    instance.stop(force=True)


def test_a_started_engine_is_reused_until_it_is_stopped_and_keeps_its_data(echo: Instance) -> None:
    first = echo.start(keep=True)
    (echo.folder / "data" / "table").touch()
    with echo.used() as second:
        assert second == first
    assert echo.state() == first
    assert echo.stop()
    assert not echo.stop()
    assert identity(first.pid) is None
    assert (echo.folder / "data" / "table").exists()


def test_the_last_of_several_runs_stops_what_a_run_started_and_removes_its_data(echo: Instance, tmp_path: Path) -> None:
    other = Instance(Echo(), tmp_path)
    with echo.used() as state:
        with other.used() as same:
            assert same == state
        assert echo.state() == state
        with pytest.raises(EngineError, match="is using it"):
            other.stop()
    assert echo.state() is None
    assert not (echo.folder / "data").exists()


def test_two_checkouts_have_engines_of_their_own(echo: Instance, tmp_path: Path) -> None:
    with echo.used() as ours, Instance(Echo(), tmp_path / "other").used() as theirs:
        assert ours.port != theirs.port
        assert ours.pid != theirs.pid


def test_an_engine_left_by_a_killed_run_is_taken_over(echo: Instance) -> None:
    left = echo.start(keep=False)
    with echo.used() as state:
        assert state == left
    assert echo.state() is None


def test_a_dead_engine_is_started_anew(echo: Instance) -> None:
    dead = echo.start(keep=True)
    os.kill(dead.pid, 9)
    while is_ours(dead.pid, dead.started, echo.folder):
        time.sleep(0.001)
    assert echo.start(keep=True).pid != dead.pid


def test_a_crashed_engine_is_started_again_where_it_was(echo: Instance) -> None:
    before = echo.start(keep=True)
    assert echo.crash() == before and echo.state() is None
    with pytest.raises(EngineError, match="does not run"):
        echo.crash()
    after = echo.start_again(before)
    assert (after.port, after.secret) == (before.port, before.secret) and after.pid != before.pid


@pytest.mark.parametrize(("words", "starts"), [("bad configuration", 1), ("address in use", 3)])
def test_an_engine_that_fails_says_why_and_where(tmp_path: Path, words: str, starts: int) -> None:
    instance = Instance(Dying(words), tmp_path)
    with pytest.raises(EngineError, match=words) as error:
        instance.start(keep=False)
    assert str(instance.log) in str(error.value)
    assert len((instance.folder / "starts").read_text()) == starts


def test_a_process_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "elsewhere"], stdin=subprocess.PIPE) as stranger:
        found = identity(stranger.pid)
        assert found is not None
        terminate(stranger.pid, "another start", tmp_path)  # its pid was used again
        terminate(stranger.pid, found.started, tmp_path)  # a stranger by its command line
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_secrets_are_for_the_owner_alone(echo: Instance) -> None:
    echo.start(keep=True)
    assert (echo.folder / "state.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that writes down its calls and can install only after an update."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "apt-get"
    program.write_text(
        f'#!/bin/sh\ncd {folder}\necho "$*" >> calls\n[ $1 = update ] && touch updated\n[ -e updated ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder / "calls"


def test_installing_updates_the_lists_only_when_it_must_and_removes_nothing(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    packages.install(["one", "two"], "it is missing", tmp_path / "log")
    calls = [line.split() for line in apt.read_text().splitlines()]
    assert [call[0] for call in calls] == ["install", "update", "install"]
    assert calls[0][-2:] == ["one", "two"]
    assert "--no-remove" in calls[0]


def test_who_may_not_install_is_told_what_to_install(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: None if name == "sudo" else str(apt.parent / name))
    with pytest.raises(EngineError, match="apt-get install one two"):
        packages.install(["one", "two"], "it is missing", tmp_path / "log")
    assert not apt.exists()


def test_programs_in_sbin_are_found_without_it_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_engines.servers.SYSTEM_FOLDERS", (str(Path(sys.executable).parent),))
    monkeypatch.setenv("PATH", "")
    assert find_program(Path(sys.executable).name) is not None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "--only", "", "--", "sh", "-c", "exit 7"], 7),
        (["run", "--only", "", "--", "sh", "-c", "kill -9 $$"], 137),
        (["run", "--only", "", "--", "no-such-program"], 1),
        (["run", "--only", ""], 1),
        (["run", "--only", "oracle", "--", "true"], 2),
        (["start", "oracle"], 2),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    script = Path(__file__).parents[3] / "scripts" / "engines"
    answer = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    assert answer.returncode == code
    assert "Traceback" not in answer.stderr
