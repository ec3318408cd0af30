"""The checks reject what they should: each of these made-up files breaks one rule, its neighbour keeps it."""

import pytest

from architecture.codebase import Codebase
from architecture.imports import CHECKS, check_imports, matches
from architecture.shape import check_docstrings, check_finished, check_names, check_sizes

OTHERS = {
    "xinyu/__init__.py": "",
    "xinyu/user/__init__.py": "",
    "xinyu/user/port.py": "",
    "xinyu/user/service.py": "",
    "xinyu/message/port.py": "",
    "xinyu/message/tables.py": "",
    "xinyu/contact/port.py": "",
    "xinyu/telemetry/logs.py": "",
    "xinyu/telemetry/metrics.py": "",
    "xinyu/storage/sql.py": "",
}


def rules_broken(path: str, text: str) -> set[str]:
    """The names of the import rules that one file breaks among `OTHERS`."""
    code = Codebase({**OTHERS, path: text})
    return {breach.rule for check in CHECKS for breach in check_imports(code, check)}


REJECTED = [
    ("floors", "xinyu/user/service.py", "from xinyu.message.port import MessagePort"),
    ("floors", "xinyu/group/service.py", "import xinyu.contact.port"),
    ("floors", "xinyu/storage/sql.py", "from xinyu.discovery import registry"),
    ("floors", "xinyu/sdk/client.py", "from xinyu.user.port import UserPort"),
    ("floors", "xinyu/gateway/auth.py", "from xinyu.sdk.client import Client"),
    ("floors", "xinyu/cli_chat.py", "from xinyu import __main__\nimport xinyu.__main__"),
    ("floors", "xinyu/billing/service.py", "from xinyu.kernel import ids"),
    ("floors", "xinyu/user/service.py", "from ..message.port import MessagePort"),
    ("doors", "xinyu/message/service.py", "from xinyu.user.service import UserService"),
    ("doors", "xinyu/gateway/http/app.py", "from ...message import tables"),
    ("doors", "xinyu/cli.py", "from xinyu.user import service"),
    ("pure_middle", "xinyu/message/service.py", "from xinyu.storage.sql import Sql"),
    ("pure_middle", "xinyu/message/service.py", "from xinyu.rpc.stub import stub"),
    ("pure_middle", "xinyu/message/service.py", "from .store_sql import SqlStore"),
    ("pure_middle", "xinyu/message/service.py", "from xinyu.telemetry.metrics import counter"),
    ("owners", "xinyu/message/service.py", "import sqlalchemy as sa"),
    ("owners", "xinyu/message/types.py", "from pydantic import BaseModel"),
    ("owners", "xinyu/message/store_sql.py", "import sqlite3"),
    ("owners", "xinyu/user/service.py", "from starlette.requests import Request"),
    ("owners", "xinyu/gateway/auth.py", "import some_new_library"),
    ("owners", "xinyu/app/run.py", "import typer"),
    ("sans_io", "xinyu/rpc/wire.py", "import asyncio"),
    ("kernel", "xinyu/kernel/ids.py", "import msgspec"),
    ("kernel", "xinyu/kernel/ids.py", "from xinyu.telemetry.logs import log"),
    ("top_level", "xinyu/app/run.py", "def run():\n    import json"),
    (
        "top_level",
        "xinyu/app/run.py",
        "if True:\n    f = None\nclass A:\n    async def f(self):\n        from a import b",
    ),
    (
        "top_level",
        "xinyu/app/run.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from xinyu.user.port import UserPort",
    ),
    ("top_level", "xinyu/app/run.py", "import typing as t\nif t.TYPE_CHECKING:\n    import xinyu.user.port"),
]

ACCEPTED = [
    ("xinyu/message/service.py", "from xinyu.user.port import UserPort\nfrom xinyu.user import port\nimport asyncio"),
    (
        "xinyu/message/service.py",
        "from . import store\nfrom .settings import Settings\nfrom ..telemetry.logs import log",
    ),
    ("xinyu/message/store_sql_log.py", "import sqlalchemy\nfrom xinyu.storage.sql import Sql\nfrom . import tables"),
    ("xinyu/message/migrations/versions/0001_log.py", "import sqlalchemy as sa\nfrom alembic import op"),
    ("xinyu/message/settings.py", "from pydantic import BaseModel"),
    ("xinyu/app/containers/user.py", "import dependency_injector\nfrom xinyu.user.service import UserService"),
    (
        "xinyu/gateway/http/routes/user.py",
        "from starlette.requests import Request\nfrom xinyu.user.port import UserPort",
    ),
    ("xinyu/cli_chat.py", "import typer\nfrom xinyu.sdk.client import Client\nfrom xinyu.app import settings"),
    ("xinyu/sdk/client.py", "import httpx\nfrom xinyu.kernel.errors import XinyuError\nfrom . import rest"),
    ("xinyu/kernel/ids.py", "from __future__ import annotations\nimport uuid\nfrom .clock import Clock"),
]


@pytest.mark.parametrize(("rule", "path", "text"), REJECTED)
def test_rejects(rule: str, path: str, text: str) -> None:
    assert rule in rules_broken(path, text)


@pytest.mark.parametrize(("path", "text"), ACCEPTED, ids=[path for path, _ in ACCEPTED])
def test_accepts(path: str, text: str) -> None:
    assert rules_broken(path, text) == set()


@pytest.mark.parametrize("name", ["xinyu/common.py", "xinyu/user/utils/text.py", "xinyu/kernel/strings.py"])
def test_rejects_names(name: str) -> None:
    assert [breach.place for breach in check_names(Codebase({name: ""}))] == [name]


def _function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def _constructor(parameters: int) -> str:
    names = ", ".join(f"p{number}" for number in range(parameters))
    return f"class A:\n    def __init__(self, *, {names}): ..."


def _port(methods: int) -> str:
    return "class P(Port):\n" + "".join(f"    async def m{n}(self): ...\n" for n in range(methods))


@pytest.mark.parametrize(
    ("rule", "fits", "too_large"),
    [
        ("file", "x = 1\n" * 300, "x = 1\n" * 301),
        ("function", _function(50), _function(51)),
        ("constructor", _constructor(7), _constructor(8)),
        ("port", _port(12), _port(13)),
    ],
    ids=["file", "function", "constructor", "port"],
)
def test_sizes_have_an_edge(rule: str, fits: str, too_large: str) -> None:
    assert not list(check_sizes(Codebase({"xinyu/user/a.py": fits})))
    assert [breach.rule for breach in check_sizes(Codebase({"xinyu/user/a.py": too_large}))] == [rule]
    assert not list(check_sizes(Codebase({"xinyu/user/migrations/a.py": too_large})))


def test_folders_have_an_edge() -> None:
    files = {f"xinyu/user/m{number}.py": "" for number in range(14)} | {"xinyu/user/__init__.py": ""}
    assert not list(check_sizes(Codebase(files)))
    assert [breach.place for breach in check_sizes(Codebase({**files, "xinyu/user/more.py": ""}))] == ["xinyu/user"]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        '"""Doc."""\nclass Public: ...',
        '"""Doc."""\nclass P(Port):\n    """Doc."""\n    @rpc(1)\n    async def m(self): ...',
        '"""Doc."""\nclass S(abc.ABC):\n    """Doc."""\n    @abc.abstractmethod\n    async def m(self): ...',
    ],
)
def test_rejects_what_says_nothing(text: str) -> None:
    assert len(list(check_docstrings(Codebase({"xinyu/user/a.py": text})))) == 1


def test_an_override_need_not_repeat_what_its_interface_says() -> None:
    text = '"""Doc."""\nclass A(P):\n    """Doc."""\n    async def m(self): ...\nclass _Private: ...'
    assert not list(check_docstrings(Codebase({"xinyu/user/a.py": text})))


def test_rejects_stubs() -> None:
    assert list(check_finished(Codebase({"xinyu/user/a.py": "def f():\n    raise NotImplementedError('later')"})))


def test_globs_keep_to_whole_parts() -> None:
    assert matches("xinyu/user/store_sql_codes.py", "xinyu/*/store_sql*.py")
    assert not matches("xinyu/gateway/ws/store_sql.py", "xinyu/*/store_sql*.py")
    assert matches("xinyu/settings.py", "xinyu/**/settings.py")
    assert matches("xinyu/gateway/http/routes/user.py", "xinyu/gateway/**")
