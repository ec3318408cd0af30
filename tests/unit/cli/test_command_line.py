"""The `xinyu` command without a server: what it prints, and one clear line for whatever is wrong."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
import yaml

from xinyu.app.actions import ACTIONS
from xinyu.app.data_folder import DataFolder
from xinyu.app.roles import ROLES
from xinyu.app.settings import load_settings
from xinyu.cli import main
from xinyu.gateway.routes import EVENTS, ROUTES

Run = Callable[..., tuple[int, str, str]]
"""Arguments → exit code, stdout, stderr."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded server's configuration, named by the environment; nothing else of the environment counts."""
    path = tmp_path / "xinyu.yaml"
    cheap = {"argon2_time_cost": 1, "argon2_memory_kib": 8, "accept_plain_passwords": False}
    settings = {"embedded": True, "data_dir": str(tmp_path / "data"), "admin_port": 0, "user": cheap}
    path.write_text(yaml.safe_dump({**settings, "gateway": {"http_port": 0, "ws_port": 0}}))
    monkeypatch.setenv("XINYU_CONFIG", str(path))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def _own_logging() -> Iterator[None]:
    """Commands direct the process's logs; the other tests' are left as they were."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.fixture
def run(config: Path, _own_logging: None, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert isinstance(ended.value.code, int)
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    yield run


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_roles_tells_every_role_with_what_it_serves_and_needs(run: Run) -> None:
    code, out, _ = run("roles")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(ROLES) < set(lines)
    assert "MembershipPort" in lines["group"] and "EffectPort" in lines["group"], "needs of relays count too"
    assert "ProfilePort" in lines["contact"]


def test_routes_tells_every_route_and_event(run: Run) -> None:
    code, out, _ = run("routes")
    assert code == 0
    words = out.split()
    assert {route.path for route in ROUTES} <= set(words)
    assert set(EVENTS) <= set(words)


def test_the_printed_defaults_are_a_configuration_with_a_comment_for_every_setting(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("config", "defaults")
    assert code == 0
    written = tmp_path / "defaults.yaml"
    written.write_text(out)
    assert load_settings([written]) == load_settings([])
    lines = out.splitlines()
    for above, line in pairwise(lines):
        if re.match(r" *[a-z0-9_]+: .", line):
            assert above.strip().startswith("# "), line


def test_show_masks_secrets_and_tells_what_is_in_force(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINYU_AUTH__JWT_SECRET", "j" * 40)
    monkeypatch.setenv("XINYU_STORAGE__DSN", "mysql://me:hush@db/x")
    monkeypatch.setenv("XINYU_LOG__LEVEL", "debug")
    code, out, _ = run("config", "show", "--node", "n7")
    assert code == 0
    assert "jjjj" not in out and "hush" not in out
    shown = yaml.safe_load(out)
    assert shown["log"]["level"] == "debug" and shown["node"] == "n7" and "db/x" in shown["storage"]["dsn"]


def test_keys_make_writes_a_pair_for_its_owner_alone_and_never_over_another(run: Run, tmp_path: Path) -> None:
    made = tmp_path / "keys" / "cluster.pem"
    code, out, _ = run("keys", "make", "--to", str(made))
    assert code == 0 and str(made) in out
    assert made.stat().st_mode & 0o777 == 0o600 and made.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    first = made.read_bytes()
    code, _, err = run("keys", "make", "--to", str(made))
    assert code == 1 and f"{made} is there already" in err and made.read_bytes() == first
    code, _, err = run("keys", "make", "--to", str(made / "below"))
    assert code == 1 and err.count("\n") == 1


def test_keys_make_without_a_name_makes_the_configured_one(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("keys", "make")
    private = tmp_path / "data" / "secrets" / "rsa_private.pem"
    assert code == 0 and str(private) in out and private.exists()
    assert run("keys", "public")[0] == 0
    assert run("keys", "make")[0] == 1


def test_the_public_key_is_made_once_and_printed_in_pem(run: Run, tmp_path: Path) -> None:
    code, first, _ = run("keys", "public")
    assert (
        code == 0 and first.startswith("-----BEGIN PUBLIC KEY-----\n") and first.endswith("-----END PUBLIC KEY-----\n")
    )
    assert run("keys", "public")[1] == first
    private = tmp_path / "data" / "secrets" / "rsa_private.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_accounts_on_the_store_while_no_server_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords travel encrypted here (`accept_plain_passwords: false`), from the command as from clients."""
    assert run("user", "create", "13900000001", "--nickname", "Eve", "--password", "correct horse")[0] == 0
    code, _, err = run("user", "create", "13900000001", "--password", "correct horse")
    assert code == 1 and err == "xinyu: There is an account with this mobile number already.\n"
    assert run("user", "disable", "13900000001")[0] == 0
    assert re.search(r"13900000001 +Eve +disabled", run("user", "list")[1])
    assert run("user", "enable", "13900000001")[0] == 0
    assert re.search(r"13900000001 +Eve +ok", run("user", "list")[1])
    code, _, err = run("user", "disable", "13900000002")
    assert code == 1 and err == "xinyu: There is no account with this mobile number.\n"


def test_migrate_tells_where_every_schema_is_and_may_be_repeated(run: Run) -> None:
    code, out, _ = run("migrate")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [spec.domain for spec in ROLES.values() if spec.domain]
    assert run("migrate")[1] == out


def test_grants_prints_sql_for_every_role_and_what_to_configure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINYU_STORAGE__DSN", "mysql://admin:root-secret@db/x")
    monkeypatch.setenv("XINYU_STORAGE__DSN_BY_ROLE", '{"user": "mysql://people:hush@db2/y"}')
    code, out, _ = run("grants", "--from", "10.0.0.%")
    assert code == 0 and "root-secret" not in out and "hush" not in out
    statements = [line for line in out.splitlines() if line and not line.startswith("--")]
    assert all(line.endswith(";") for line in statements)
    assert sum(line.startswith("CREATE USER") for line in statements) == 5
    assert "CREATE USER IF NOT EXISTS 'people'@'10.0.0.%' IDENTIFIED BY <its password>;" in statements
    assert "GRANT SELECT ON `x`.`message_schema_version` TO 'xinyu_message'@'10.0.0.%';" in statements
    assert out.index("-- on db2:3306") < out.index("'people'") < out.index("-- on db:3306") < out.index("'xinyu_media'")
    kept = yaml.safe_load("\n".join(line.removeprefix("-- ") for line in out[out.index("-- storage:") :].splitlines()))
    for role, dsn in kept["storage"]["dsn_by_role"].items():
        assert f"'xinyu_{role}'@'10.0.0.%' IDENTIFIED BY '{dsn.split(':')[2].split('@')[0]}'" in out
    assert "IDENTIFIED BY 'hush'" in run("grants", "--roles", "user", "--passwords")[1]


def test_grants_needs_mysql(run: Run) -> None:
    code, out, err = run("grants")
    assert (code, out) == (1, "") and err.startswith("xinyu: storage.dsn: ") and err.count("\n") == 1


def test_a_second_process_on_the_same_data_folder_is_refused(run: Run, tmp_path: Path) -> None:
    other = DataFolder(tmp_path / "data", "node-1")
    other.take()
    try:
        code, _, err = run("user", "list")
        assert code == 1 and "another process works in" in err and err.count("\n") == 1
    finally:
        other.release()


@pytest.mark.parametrize("arguments", [("demo",), ("chat", "--user", "1", "--password", "2")])
def test_what_needs_a_server_says_so(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert code == 1 and not out
    assert err.startswith("xinyu: no server runs on ") and err.count("\n") == 1


def test_check_finds_nothing_wrong_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, err = run("config", "check")
    assert code == 0 and "this configuration works" in out and not err
    assert not (tmp_path / "data").exists()


def test_check_only_warns_of_a_port_in_use_and_of_a_stray_variable(
    run: Run, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINYU_GATEWAY__HTTP_PORT", str(taken_port))
    monkeypatch.setenv("XINYU_GATEWEY__HTTP_PORT", "1")
    code, out, _ = run("config", "check")
    assert code == 0
    warnings = [line for line in out.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2
    assert "XINYU_GATEWEY__HTTP_PORT" in warnings[0] and str(taken_port) in warnings[1]


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("XINYU_STORAGE__DSN", "garbage", "storage.dsn"),
        ("XINYU_STORAGE__DSN", "postgres://h/x", "storage.dsn"),
        ("XINYU_STORAGE__DSN", "mysql://u:hush@127.0.0.1:1/x", "127.0.0.1:1"),
        ("XINYU_STORAGE__DSN", "sqlite:///xinyu.yaml", "xinyu.yaml"),
        ("XINYU_DATA_DIR", "xinyu.yaml", "data_dir"),
        ("XINYU_MEDIA__BLOB_DIR", "xinyu.yaml", "media.blob_dir"),
        ("XINYU_EMBEDDED", "false", "auth.jwt_secret"),
        ("XINYU_GATEWAY__TIMEZONE", "Mars/Olympus", "gateway.timezone"),
        ("XINYU_GATEWAY__CORS_ORIGIN_REGEX", "(", "gateway.cors_origin_regex"),
        ("XINYU_USER__RSA_PRIVATE_KEY_PATH", "xinyu.yaml", "user.rsa_private_key_path"),
        ("XINYU_ROLES", '["message"]', "roles"),
    ],
)
def test_check_names_what_cannot_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, out, err = run("config", "check")
    errors = [line for line in out.splitlines() if line.startswith("error")]
    assert code == 1 and err.count("\n") == 1
    assert errors and named in errors[0], out
    assert "hush" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("bogus",), 2, "bogus"),
        (("run", "--rolls", "x"), 2, "--rolls"),
        (("run", "--config"), 2, "--config"),
        (("user", "create"), 2, "MOBILE"),
        (("run", "--roles", "cook"), 1, "'cook'"),
        (("run", "--roles", ","), 1, "--roles"),
        (("run", "--node", "a b"), 1, "node"),
        (("config", "show", "-c", "missing.yaml"), 1, "missing.yaml: No such file"),
        (("config", "show", "-c", "."), 1, "Is a directory"),
        (("config", "show", "-c", "broken.yaml"), 1, "broken.yaml is not valid YAML"),
        (("config", "show", "-c", "list.yaml"), 1, "list.yaml must hold a mapping"),
        (("config", "show", "-c", "unknown.yaml"), 1, "gateway.prot: there is no such setting"),
        (("config", "show", "-c", "wrong.yaml"), 1, "admin_port: "),
        (("config", "show", "-c", "twice.yaml"), 1, "'gateway' is there twice, in line 3"),
        (("user", "create", "no number", "--password", "correct horse"), 1, "mobile number"),
        (("user", "create", "13900000001", "--password", ""), 1, "password"),
        (("chat", "--server", "nonsense", "--user", "1", "--password", "2"), 1, "--server"),
        (("chat", "--ws", "ws://x", "--user", "1", "--password", "2"), 1, "--server"),
        (("chat", "--server", "http://127.0.0.1:1", "--user", "1", "--password", "2"), 1, "cannot be reached"),
        (("chat", "--server", "http://h", "--public-key", "missing.pem"), 1, "missing.pem"),
    ],
)
def test_wrong_use_is_one_line_on_stderr(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "unknown.yaml").write_text("embedded: true\ngateway: {prot: 1}\n")
    (tmp_path / "wrong.yaml").write_text("embedded: true\nadmin_port: many\n")
    (tmp_path / "twice.yaml").write_text("gateway: {http_port: 0}\nembedded: true\ngateway: {ws_port: 0}\n")
    ended, _, err = run(*arguments)
    assert (ended, err.count("\n")) == (code, 1)
    assert err.startswith("xinyu: ") and words.lower() in err.lower(), err


def test_a_list_in_the_environment_that_is_no_json_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINYU_ROLES", "user,message")
    code, _, err = run("config", "show")
    assert code == 1 and err.count("\n") == 1 and "roles" in err and "JSON" in err


def test_a_port_in_use_is_one_line(run: Run, taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINYU_ADMIN_PORT", str(taken_port))
    code, _, err = run("run")
    assert code == 1 and err.startswith(f"xinyu: admin_port: cannot listen on 127.0.0.1:{taken_port}")
    assert err.count("\n") == 1


def test_all_ports_in_use_are_named_at_once(run: Run, taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside another server all of them are; one at a time would take as many attempts."""
    for name in ("XINYU_ADMIN_PORT", "XINYU_GATEWAY__HTTP_PORT"):
        monkeypatch.setenv(name, str(taken_port))
    code, _, err = run("run")
    assert code == 1 and err.count("\n") == 1
    assert "admin_port: cannot listen" in err and "gateway.http_port: cannot listen" in err


def test_a_second_server_hears_of_the_folder_and_not_of_its_ports(
    run: Run, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINYU_ADMIN_PORT", str(taken_port))
    other = DataFolder(tmp_path / "data", "first")
    other.take()
    try:
        code, _, err = run("run")
    finally:
        other.release()
    assert code == 1 and err.startswith("xinyu: data_dir: another process works in ")


def test_a_variable_that_names_no_setting_is_told_at_the_start(
    run: Run, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINYU_ADMIN_PORT", str(taken_port))
    monkeypatch.setenv("XINYU_DATADIR", "elsewhere")
    _, _, err = run("run")
    assert "XINYU_DATADIR" in err and "names no setting" in err


@pytest.mark.parametrize("command", [("run",), ("migrate",), ("config", "check"), ("user", "list")])
def test_a_schema_of_a_newer_version_is_refused(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert run("migrate")[0] == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "xinyu.db")) as database:
        database.execute("UPDATE group_schema_version SET version_num = '9999'")
        database.commit()
    code, out, err = run(*command)
    assert code == 1 and err.count("\n") == 1
    assert "the schema of group is at 9999, which this version does not know" in out + err


def test_no_configuration_at_all_says_how_to_name_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XINYU_CONFIG")
    code, _, err = run("run")
    assert code == 1 and err.startswith("xinyu: no configuration: ") and "--config" in err


def test_a_defect_is_one_line_too_and_its_trace_is_there_for_who_asks(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> dict[str, object]:
        raise RuntimeError("two\nlines")

    monkeypatch.setitem(ACTIONS, "user-list", broken)
    code, _, err = run("user", "list")
    assert code == 1 and err.count("\n") == 1 and "RuntimeError: two lines" in err
    monkeypatch.setenv("XINYU_DEBUG", "1")
    assert "Traceback" in run("user", "list")[2]


def test_ctrl_c_while_the_program_is_loaded_ends_it_without_a_stack(tmp_path: Path) -> None:
    broken = tmp_path / "typer.py"  # the first thing that the command imports of others'
    broken.write_text("raise KeyboardInterrupt\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from xinyu.__main__ import main; main()"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
