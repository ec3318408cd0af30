"""A stage's tables: brought up to date, and on the private MySQL a schema and accounts of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from xinyu.app.accounts.grants import role_accounts
from xinyu.app.settings import load_settings

from .workplace import CHECKOUT, ClusterError, Workplace

MIGRATE_SECONDS = 120
LOOPBACK = "127.0.0.1"
"""Where connections to the private MySQL come from."""


def schema_dsn(workplace: Workplace, server: str) -> str:
    """The DSN of the stage's schema on a server given by any DSN; the schema is made where it is missing."""
    name = f"xinyu_{workplace.label}"
    _execute(server, [f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4"])
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def make_accounts(workplace: Workplace) -> None:
    """An account for each role, with rights on its own tables alone, as `xinyu grants` would have it. The tables must
    be there. Made anew each time: its password may be another now, and so may its tables."""
    settings = load_settings(workplace.configs)
    for account in role_accounts(settings):
        drop = f"DROP USER IF EXISTS '{account.address.user}'@'{LOOPBACK}'"
        _execute(settings.storage.dsn, [drop, *account.statements(LOOPBACK, with_password=True)])


def _execute(dsn: str, statements: Iterable[str]) -> None:
    """Raises ClusterError."""
    url = make_url(dsn)
    try:
        connection: Any = pymysql.connect(
            host=url.host, port=url.port or 3306, user=url.username, password=str(url.password or ""), autocommit=True
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except pymysql.MySQLError as error:
        raise ClusterError(f"the private MySQL refuses: {error}") from error


def migrate(workplace: Workplace) -> None:
    """Bring the schemas of all roles up to date. Raises ClusterError with what the command said."""
    command = [sys.executable, "-m", "xinyu", "migrate"]
    for config in workplace.configs:
        command += ["--config", str(config)]
    environment = {**os.environ, "XINYU_DATA_DIR": str(workplace.folder / "migrate")}
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=MIGRATE_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"xinyu migrate takes longer than {MIGRATE_SECONDS} s") from None
    if done.returncode:
        raise ClusterError(f"xinyu migrate failed:\n{done.stderr.strip()}")
