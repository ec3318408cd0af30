"""Suites over Redis and ZooKeeper fail where a run should have them and has not; see testkit/engines.py."""

import pytest

from testkit import engines

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("fixture", "variable", "engine"),
    [("redis_url", "XINYU_TEST_REDIS_URL", "redis"), ("zookeeper_hosts", "XINYU_TEST_ZOOKEEPER", "zookeeper")],
)
def test_without_the_variable_a_test_fails_with_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, fixture: str, variable: str, engine: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    pytester.makeconftest(f"from testkit.engines import {fixture}")
    pytester.makepyfile(f"def test_it({fixture}): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{variable} is not set: run through scripts/engines run --only {engine}*"])


def test_an_engine_of_every_run_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XINYU_TEST_REDIS_URL", raising=False)
    monkeypatch.setattr(engines, "RUN_BY_DEFAULT", ("mysql", "redis"))
    assert len(engines.adapters("memory", engine="redis")) == 2
    assert engines.needs_engine("redis").args == (False,)
    monkeypatch.setattr(engines, "RUN_BY_DEFAULT", ("mysql",))
    assert engines.adapters("memory", engine="redis") == ["memory"]
    assert engines.needs_engine("redis").args == (True,)
    monkeypatch.setenv("XINYU_TEST_REDIS_URL", "redis://127.0.0.1:1/0")
    assert len(engines.adapters("memory", engine="redis")) == 2
