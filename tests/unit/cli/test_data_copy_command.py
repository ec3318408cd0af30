"""`xinyu data copy` on SQLite: what it prints, what it refuses, and that it makes nothing when it should not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import yaml
from rich.console import Console

from testkit.sockets import QUICK_PASSWORDS
from xinyu.app.actions import ACTIONS
from xinyu.app.data_folder import DataFolder
from xinyu.app.moving.schemas import schemas
from xinyu.app.settings import Settings
from xinyu.app.supervisor import opened_store
from xinyu.cli import main
from xinyu.cli.moving.progress import Bars, Lines, watcher

Run = Callable[..., tuple[int, str, str]]
"""Arguments → exit code, stdout, stderr."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command in a folder of its own, the process's logs left as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XINYU_CONFIG", raising=False)
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert isinstance(ended.value.code, int)
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder that `source` is a copy of."""
    folder = tmp_path_factory.mktemp("monolith") / "old"

    async def fill() -> None:
        async with opened_store(Settings(embedded=True, data_dir=folder, user=QUICK_PASSWORDS)) as process:
            for mobile in ("13900000001", "13900000002"):
                account = {"nickname": mobile, "mobile": mobile, "password": "correct horse"}
                await ACTIONS["user-create"](process.container.ports(), **account)

    asyncio.run(fill())
    upload = folder / "media" / "sha256" / "ab" / "cd" / "abcd"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"content")
    return folder


@pytest.fixture
def source(run: Run, tmp_path: Path, made_once: Path) -> Path:
    """A small monolith that is stopped: two accounts and an uploaded file; and two configurations."""
    quick = {"argon2_time_cost": 1, "argon2_memory_kib": 8, "accept_plain_passwords": True}
    for name in ("old", "new"):
        settings = {"embedded": True, "data_dir": str(tmp_path / name), "user": quick}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    return Path(shutil.copytree(made_once, tmp_path / "old"))


def copy(run: Run, *more: str, from_: str = "sqlite:///old/xinyu.db", to: str = "sqlite:///new/xinyu.db") -> (
    tuple[int, str, str]
):  # fmt: skip
    return run("data", "copy", "--from", from_, "--to", to, *more)


def everything(folder: Path) -> dict[str, bytes]:
    """Files below a folder with their bytes; the write-ahead log's index aside, which readers write."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


MEDIA = ("--media-from", "old/media", "--media-to", "new/media")


def test_a_copy_tells_every_table_and_what_it_compared(run: Run, source: Path, tmp_path: Path) -> None:
    code, out, err = copy(run, *MEDIA)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "user_account: 2" in lines and "compare user_account, both sides: 4" in lines and "files: 1" in lines
    assert re.search(r"^4 rows of \d+ tables and 1 files \(7 bytes\) copied and compared", lines[-1])
    assert (tmp_path / "new" / "media" / "sha256" / "ab" / "cd" / "abcd").read_bytes() == b"content"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "xinyu.db").stat().st_mode & 0o777 == 0o600
    assert "13900000002" in run("user", "list", "-c", "new.yaml")[1]
    assert "user 10002 made" in run("user", "create", "13900000003", "--password", "correct horse", "-c", "new.yaml")[1]


def test_by_configuration(run: Run, source: Path, tmp_path: Path) -> None:
    code, out, err = run("data", "copy", "--from-config", "old.yaml", "--to-config", "new.yaml")
    assert (code, err) == (0, "") and "1 files (7 bytes) copied" in out
    assert list((tmp_path / "new" / "media").rglob("abcd"))


def test_a_database_for_each_role(run: Run, source: Path, tmp_path: Path) -> None:
    code, out, _ = copy(run, "--to", "message=sqlite:///new/message.db")
    assert code == 0 and "name --media-from and --media-to" in out.splitlines()[-1]
    with contextlib.closing(sqlite3.connect(tmp_path / "new" / "message.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"message_schema_version", *(table.name for table in schemas()["message"].tables)}


def test_every_table_of_a_migrated_database_is_copied(run: Run, source: Path) -> None:
    with contextlib.closing(sqlite3.connect(source / "xinyu.db")) as database:
        found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    versions = {schema.history.version_table for schema in schemas().values()}
    known = {table.name for schema in schemas().values() for table in schema.tables}
    assert found - versions - {"sqlite_sequence"} == known


def test_a_dry_run_counts_and_changes_nothing(run: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "xinyu.db").touch()
    before = everything(tmp_path)
    code, out, err = copy(run, "--dry-run", *MEDIA)
    assert (code, err) == (0, "")
    assert re.search(r"^user +user_account +2$", out, re.M) and re.search(r"^media +files +1$", out, re.M)
    assert "would be copied; nothing was changed" in out.splitlines()[-1]
    assert everything(tmp_path) == before
    assert not (tmp_path / "new" / "media").exists()
    shutil.rmtree(tmp_path / "new")
    assert copy(run, "--dry-run", *MEDIA)[0] == 0
    assert not (tmp_path / "new").exists()


def test_a_migrated_empty_target_is_fine_and_one_with_rows_is_not(run: Run, source: Path) -> None:
    assert run("migrate", "-c", "new.yaml")[0] == 0
    assert copy(run)[0] == 0
    for more in ((), ("--dry-run",)):
        code, _, err = copy(run, *more)
        assert code == 1 and err.count("\n") == 1
        assert "--to is not empty: there are rows in user_account; to empty it, remove " in err


def test_a_copy_into_itself_is_refused_before_anybody_is_told_to_remove_it(run: Run, source: Path) -> None:
    (source.parent / "link").symlink_to(source)
    for name in ("sqlite:///old/xinyu.db", f"sqlite:///{source}/xinyu.db", "sqlite:///link/xinyu.db"):
        code, _, err = copy(run, to=name)
        assert (code, err) == (1, "xinyu: --from and --to lead to the same database\n")


@pytest.mark.parametrize("folder", ["old", "new"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_folder_that_a_server_works_in_is_refused(
    run: Run, source: Path, tmp_path: Path, folder: str, alone: bool
) -> None:
    server = DataFolder(tmp_path / folder, "node-1", alone)
    server.take()
    try:
        code, _, err = copy(run)
        assert code == 1 and err == f"xinyu: another process works in {tmp_path / folder}; stop it first\n"
    finally:
        server.release()
    assert copy(run)[0] == 0


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def test_schemas_of_other_versions_are_refused(run: Run, source: Path) -> None:
    change(source / "xinyu.db", "UPDATE group_schema_version SET version_num = '9999'")
    code, _, err = copy(run)
    assert code == 1 and err.startswith("xinyu: --from: the schema of group is at 9999, which this version does not")
    change(source / "xinyu.db", "DELETE FROM group_schema_version")
    code, _, err = copy(run)
    assert code == 1 and "--from: the schema of group is at nothing, this version needs" in err and "migrate" in err
    assert err.count("\n") == 1


def test_a_target_of_a_newer_version_or_with_tables_of_its_own_is_refused(run: Run, source: Path) -> None:
    assert run("migrate", "-c", "new.yaml")[0] == 0
    target = source.parent / "new" / "xinyu.db"
    change(target, "UPDATE group_schema_version SET version_num = '9999'")
    code, _, err = copy(run)
    assert code == 1 and err.startswith("xinyu: --to: the schema of group is at 9999")
    change(target, "DELETE FROM group_schema_version")
    code, _, err = copy(run)
    assert code == 1 and "--to is not empty: there is a table group_" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name either --from or --from-config"),
        (("--from", "sqlite:///old/xinyu.db"), "name either --to or --to-config"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "x", "--to-config", "new.yaml"), "either --to or --to-config"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "garbage"), "this is no DSN"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "mysql://u:hush:1/x"), "this is no DSN"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "mysql://u:hush@127.0.0.1:1/x"), "cannot reach "),
        (("--from", "sqlite:///old/xinyu.db", "--to", "cook=sqlite:///x.db"), "no role 'cook' keeps data"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "user=sqlite:///x.db"), "no DSN for contact, group, message"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "sqlite:///a", "--to", "sqlite:///b"), "two DSNs for all"),
        (("--from", "sqlite:///old/none.db", "--to", "sqlite:///x.db"), "there is no database sqlite:///old/none.db"),
        (("--from", "sqlite:///old.yaml", "--to", "sqlite:///x.db"), "cannot open"),
        (("--from", "sqlite:///old/xinyu.db", "--to", "sqlite:///old.yaml/x.db"), "no folder that can be written"),
        (("--from", "sqlite:///old/xinyu.db", "--to-config", "new.yaml"), "name the other one with --media-from"),
        (("--from-config", "old.yaml", "--to", "sqlite:///x.db"), "name the other one with --media-to"),
        (("--from-config", "old.yaml", "--to-config", "none.yaml"), "none.yaml: No such file"),
        (("--from-config", "old.yaml", "--to-config", "new.yaml", "--media-from", "none"), "none is no folder"),
        (("--from-config", "old.yaml", "--to-config", "new.yaml", "--media-to", "old/media/in"), "inside the other"),
    ],
)
def test_wrong_use_is_one_line_without_passwords(
    run: Run, source: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = set(everything(source.parent))
    code, out, err = run("data", "copy", *arguments)
    assert code == 1 and err.startswith("xinyu: ") and err.count("\n") == 1 and words in err, err
    assert "hush" not in out + err
    assert set(everything(source.parent)) == before


def test_a_process_that_keeps_data_elsewhere_is_not_passed_over(run: Run, source: Path) -> None:
    own = {"m1": {"storage": {"dsn": "mysql://u:hush@h/x"}}, "m2": {"storage": {"mysql_pool_size": 5}, "media": None}}
    (source.parent / "cluster.yaml").write_text(yaml.safe_dump({"processes": own}))
    code, _, err = run("data", "copy", "--from-config", "old.yaml", "--to-config", "cluster.yaml")
    assert code == 1 and err.startswith("xinyu: --to-config: the process m1 keeps data elsewhere") and "hush" not in err


def test_one_folder_of_files_for_both_is_left_alone(run: Run, source: Path) -> None:
    code, out, _ = copy(run, "--media-from", "old/media", "--media-to", "old/media")
    assert code == 0 and "both sides use the same folder" in out


def test_a_disk_without_room_is_found_before(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinyu.app.moving.checks.free_bytes", lambda _: 6)
    code, _, err = copy(run, *MEDIA, "--dry-run")
    assert code == 1 and "7 bytes are to be copied to new/media, whose disk has 6 left" in err


def test_an_interrupted_copy_says_what_is_left(run: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "end", lambda _: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as a fresh process has it
    try:
        code, _, err = copy(run)
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130 and "the target is incomplete: start no server on it and empty it" in err
    monkeypatch.undo()
    monkeypatch.chdir(source.parent)
    assert "--to is not empty" in copy(run)[2]


def test_progress_is_bars_on_a_terminal_and_lines_elsewhere() -> None:
    assert isinstance(watcher(Console(file=io.StringIO())), Lines)
    screen = io.StringIO()
    bars = watcher(Console(file=screen, force_terminal=True, width=100))
    assert isinstance(bars, Bars)
    bars.begin("message_entry", 3)
    bars.advance(3)
    bars.end()
    bars.close()
    assert "message_entry" in screen.getvalue() and "3/3" in screen.getvalue()


def test_a_long_step_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinyu.cli.moving.progress.LINE_SECONDS", 0)
    paper = io.StringIO()
    lines = Lines(Console(file=paper))
    lines.begin("message_entry", 3)
    lines.advance(2)
    lines.advance(1)
    lines.end()
    assert paper.getvalue().splitlines() == ["message_entry: 2 of 3", "message_entry: 3 of 3", "message_entry: 3"]
