"""Every error code: category, REST status, what clients are shown."""

from __future__ import annotations

import importlib
import pkgutil

import xinyu
from reference_pages.markdown import code, page, summary, table
from xinyu.gateway.http.errors import COMMON_TEXTS, STATUS_OF
from xinyu.gateway.routes import ERRORS
from xinyu.kernel.errors import Category, XinyuError, all_errors

INTRO = """An error has a category, which decides the HTTP status and the `code` of a socket's `error` frame,
and a stable code, which clients may rely on. Clients are shown the text in the last column; where there is
none, the English message. An error may carry a more exact message than the one here, which is then shown.
Errors of category `internal` never show theirs. Codes that begin with `sdk.` are raised by the SDK and never
sent."""


def errors_page() -> str:
    """docs/reference/errors.md"""
    statuses = [(code(category.value), str(STATUS_OF[category])) for category in Category]
    texts = {**COMMON_TEXTS, **ERRORS}
    by_domain: dict[str, list[tuple[str, ...]]] = {}
    for name, error in sorted(known_errors().items()):
        row = (code(name), code(error.category.value), summary(error), texts.get(name, ""))
        by_domain.setdefault(name.partition(".")[0], []).append(row)
    sections = [
        f"## {domain}\n\n" + table(("code", "category", "message", "shown as"), rows)
        for domain, rows in by_domain.items()
    ]
    return page("Errors", INTRO, ["## Categories\n\n" + table(("category", "status"), statuses), *sections])


def known_errors() -> dict[str, type[XinyuError]]:
    """Every error of the package, all of its modules imported."""
    for module in pkgutil.walk_packages(xinyu.__path__, "xinyu."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    return {name: error for name, error in all_errors().items() if error.__module__.startswith("xinyu.")}
