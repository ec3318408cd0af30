"""What each engine wants: programs, configuration, command line, and how to tell that it is ready."""

from __future__ import annotations

import abc
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .process import EngineError, ask, last_lines, write_private

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/libexec")


def find_program(name: str) -> str | None:
    """Where a program is: a user's PATH often lacks the sbin folders."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(SYSTEM_FOLDERS))


class Server(abc.ABC):
    """One kind of engine. It keeps nothing: folder, port and secret come with each call."""

    name: ClassVar[str]
    variable: ClassVar[str]
    packages: ClassVar[Sequence[str]]

    @abc.abstractmethod
    def missing(self) -> str | None:
        """What is not installed, None when everything is."""

    @abc.abstractmethod
    def prepare(self, folder: Path, port: int, secret: str) -> None:
        """Write the configuration, and make the data where there is none yet."""

    @abc.abstractmethod
    def command(self, folder: Path) -> Sequence[str]:
        """The server's command line; `folder` is part of it, by which we know the process again."""

    @abc.abstractmethod
    def is_ready(self, folder: Path, port: int, secret: str) -> bool:
        """Whether *this* instance answers (not another one that took the port)."""

    @abc.abstractmethod
    def address(self, port: int, secret: str) -> str:
        """What goes into `variable`."""

    def environment(self) -> Mapping[str, str]:
        """Variables that the server itself needs."""
        return {}


class MySQL(Server):
    """MariaDB: durable commits as in production, everything else small."""

    name = "mysql"
    variable = "XINYU_TEST_MYSQL_DSN"
    # The programs without Debian's service; the client part has my_print_defaults, which mariadb-install-db calls.
    packages = ("mariadb-server-core", "mariadb-client-core")

    def missing(self) -> str | None:
        programs = [name for name in MARIADB_PROGRAMS if find_program(name) is None]
        return f"MariaDB is missing ({', '.join(programs)})" if programs else None

    def prepare(self, folder: Path, port: int, secret: str) -> None:
        data = folder / "data"
        write_private(folder / "my.cnf", MY_CNF.format(folder=folder, data=data, port=port))
        # Run at each start, before the first connection is let in. The rights are wide (databases and users of
        # their own for the tests); what they reach is this private instance.
        write_private(
            folder / "init.sql",
            "CREATE DATABASE IF NOT EXISTS xinyu_test CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS 'xinyu'@'127.0.0.1' IDENTIFIED BY '{secret}';\n"
            f"ALTER USER 'xinyu'@'127.0.0.1' IDENTIFIED BY '{secret}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'xinyu'@'127.0.0.1' WITH GRANT OPTION;\n",
        )
        if not (data / "mysql" / "db.frm").exists():
            self._make_data(folder, data)

    def _make_data(self, folder: Path, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)
        log = folder / "install.log"
        with log.open("wb") as output:
            command = [str(find_program("mariadb-install-db")), f"--defaults-file={folder / 'my.cnf'}"]
            command += [f"--datadir={data}", "--skip-test-db", "--skip-name-resolve", *self._as_user()]
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode
        if code:
            shutil.rmtree(data, ignore_errors=True)
            raise EngineError(f"mysql: mariadb-install-db failed:\n{last_lines(log)}\n  log: {log}")

    @staticmethod
    def _as_user() -> list[str]:
        # mariadbd refuses root unless told. Another user could not reach a checkout below root's home.
        return ["--user=root"] if os.geteuid() == 0 else []

    def command(self, folder: Path) -> Sequence[str]:
        return [str(find_program("mariadbd")), f"--defaults-file={folder / 'my.cnf'}", *self._as_user()]

    def is_ready(self, folder: Path, port: int, secret: str) -> bool:
        # The greeting alone might be another server's; our log says when ours has the port and has run init.sql.
        log = (folder / "log").read_text(errors="replace")
        return "ready for connections" in log and f"port: {port} " in log and ask(port, b"")[4:5] == b"\x0a"

    def address(self, port: int, secret: str) -> str:
        return f"mysql+aiomysql://xinyu:{secret}@127.0.0.1:{port}/xinyu_test?charset=utf8mb4"


class Redis(Server):
    """Redis: nothing on disk, a password, loopback only."""

    name = "redis"
    variable = "XINYU_TEST_REDIS_URL"
    # Debian's redis-server package is a link to this package's program plus a service, which we do not want.
    packages = ("redis-tools",)

    def missing(self) -> str | None:
        return None if self._program() else "Redis is missing (redis-server)"

    @staticmethod
    def _program() -> str | None:
        # One program by two names: called redis-server (its argv[0] decides), it serves.
        return find_program("redis-server") or find_program("redis-check-rdb")

    def prepare(self, folder: Path, port: int, secret: str) -> None:
        (folder / "data").mkdir(exist_ok=True)
        write_private(folder / "redis.conf", REDIS_CONF.format(data=folder / "data", port=port, secret=secret))
        # Redis has no switch for its program's name, so the link's name says it.
        link = folder / "redis-server"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(str(self._program())).resolve())

    def command(self, folder: Path) -> Sequence[str]:
        return [str(folder / "redis-server"), str(folder / "redis.conf")]

    def is_ready(self, folder: Path, port: int, secret: str) -> bool:
        return ask(port, f"AUTH {secret}\r\n".encode()).startswith(b"+OK")

    def address(self, port: int, secret: str) -> str:
        return f"redis://:{secret}@127.0.0.1:{port}/0"


class ZooKeeper(Server):
    """ZooKeeper: one standalone server, short ticks. It knows no password; it listens on loopback only."""

    name = "zookeeper"
    variable = "XINYU_TEST_ZOOKEEPER"
    # The libraries alone: Debian's zookeeper and zookeeperd add a user, a whole desktop Java and a service.
    packages = ("libzookeeper-java", "default-jre-headless")

    def missing(self) -> str | None:
        if find_program("java") is None:
            return "Java is missing (java)"
        return (
            None if self._jars() else "ZooKeeper is missing (zookeeper.jar; or set ZOOKEEPER_HOME to an unpacked one)"
        )

    @staticmethod
    def _jars() -> str | None:
        """Class path: the unpacked distribution in ZOOKEEPER_HOME, else Debian's jar.

        That one's manifest names all it needs but something to log with.
        """
        home = os.environ.get("ZOOKEEPER_HOME")
        if home and any(Path(home, "lib").glob("zookeeper-*.jar")):
            return str(Path(home, "lib", "*"))
        debian = Path("/usr/share/java/zookeeper.jar")
        return f"{debian}{os.pathsep}{debian.with_name('slf4j-simple.jar')}" if debian.exists() else None

    def prepare(self, folder: Path, port: int, secret: str) -> None:
        (folder / "data").mkdir(exist_ok=True)
        (folder / "zoo.cfg").write_text(ZOO_CFG.format(data=folder / "data", port=port))

    def command(self, folder: Path) -> Sequence[str]:
        # C1 only and the serial collector: it starts in half the time, and nobody measures this one.
        flags = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"]
        flags += ["-Dzookeeper.jmx.log4j.disable=true", "-Dzookeeper.admin.enableServer=false"]
        main = "org.apache.zookeeper.server.ZooKeeperServerMain"
        return [str(find_program("java")), *flags, "-cp", str(self._jars()), main, str(folder / "zoo.cfg")]

    def is_ready(self, folder: Path, port: int, secret: str) -> bool:
        return ask(port, b"ruok") == b"imok" and f"dataDir={folder / 'data'}/".encode() in ask(port, b"conf")

    def address(self, port: int, secret: str) -> str:
        return f"127.0.0.1:{port}"


SERVERS: Mapping[str, Server] = {server.name: server for server in (MySQL(), Redis(), ZooKeeper())}

MARIADB_PROGRAMS = ("mariadbd", "mariadb-install-db", "my_print_defaults")

MY_CNF = """\
[mysqld]
datadir = {data}
bind-address = 127.0.0.1
port = {port}
socket = socket
pid-file = {folder}/mariadbd.pid
init-file = {folder}/init.sql
secure-file-priv = {data}
skip-name-resolve
skip-log-bin
character-set-server = utf8mb4
max-connections = 300
performance-schema = OFF
innodb-flush-log-at-trx-commit = 1
innodb-buffer-pool-size = 512M
innodb-log-file-size = 256M
innodb-fast-shutdown = 1
"""

REDIS_CONF = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {secret}
dir {data}
save ""
appendonly no
daemonize no
set-proc-title no
maxmemory 256mb
maxmemory-policy noeviction
"""

ZOO_CFG = """\
tickTime=200
clientPort={port}
clientPortAddress=127.0.0.1
dataDir={data}
maxClientCnxns=0
4lw.commands.whitelist=*
admin.enableServer=false
"""
