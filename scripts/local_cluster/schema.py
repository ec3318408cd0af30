"""A stage's tables on the private MySQL: a schema of its own, brought up to date."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from .workplace import CHECKOUT, ClusterError, Workplace

MIGRATE_SECONDS = 120


def schema_dsn(workplace: Workplace, server: str) -> str:
    """The DSN of the stage's schema on a server given by any DSN; the schema is made where it is missing."""
    url = make_url(server)
    name = f"xinyu_{workplace.label}"
    connection: Any = pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username, password=str(url.password or ""), autocommit=True
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
    return url.set(database=name).render_as_string(hide_password=False)


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
