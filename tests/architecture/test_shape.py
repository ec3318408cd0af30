"""Names, sizes, docstrings in this repository, and nothing left unfinished."""

from collections.abc import Callable, Iterator

import pytest

from architecture import rules
from architecture.codebase import Breach, Codebase
from architecture.shape import check_docstrings, check_finished, check_names, check_sizes


@pytest.fixture(scope="module")
def code() -> Codebase:
    return Codebase.of_repository()


@pytest.mark.parametrize("check", [check_names, check_docstrings, check_finished], ids=lambda check: check.__name__)
def test_no_breach(code: Codebase, check: Callable[[Codebase], Iterator[Breach]]) -> None:
    breaches = list(map(str, check(code)))
    assert not breaches, f"{check.__doc__}\n" + "\n".join(breaches)


def test_sizes_but_for_what_is_allowed_with_a_reason(code: Codebase) -> None:
    too_large = {(breach.rule, breach.place): breach for breach in check_sizes(code)}
    breaches = [str(breach) for key, breach in too_large.items() if key not in rules.ALLOWED]
    assert not breaches, "split by noun, or give a reason in rules.ALLOWED\n" + "\n".join(breaches)
    assert not [key for key in rules.ALLOWED if key not in too_large], "no longer needed in rules.ALLOWED"
    assert all(rules.ALLOWED.values()), "an allowance needs its reason"
