"""Who imports whom in this repository."""

import pytest

from architecture.codebase import Codebase
from architecture.imports import CHECKS, Check, check_imports


@pytest.fixture(scope="module")
def code() -> Codebase:
    return Codebase.of_repository()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_breach(code: Codebase, check: Check) -> None:
    breaches = list(map(str, check_imports(code, check)))
    assert not breaches, f"{check.__doc__}\n" + "\n".join(breaches)
