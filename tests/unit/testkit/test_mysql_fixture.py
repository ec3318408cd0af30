"""A suite that needs MySQL fails where there is none: a skip would be green by accident."""

import pytest

pytest_plugins = ["pytester"]


def test_without_the_variable_a_test_fails_with_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XINYU_TEST_MYSQL_DSN", raising=False)
    pytester.makeconftest("from testkit.mysql import mysql_dsn, new_mysql_database")
    pytester.makepyfile("def test_store(mysql_dsn): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*XINYU_TEST_MYSQL_DSN is not set: run through scripts/engines run*"])
