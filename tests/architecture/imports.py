"""Checks of who imports whom."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache

from architecture import rules
from architecture.codebase import Breach, Codebase, Import, Source

Check = Callable[[Source, Import], str | None]


def floors(source: Source, item: Import) -> str | None:
    """Look down only; strangers on one floor; the sdk knows the kernel alone."""
    package, target = source.package, _package(item.target)
    if target is None or target == package:
        return None
    if package == "sdk":
        return None if target == "kernel" else f"the sdk imports {item.target}; it may know the kernel only"
    if target == "sdk":
        return None if package in rules.SDK_USERS else f"imports {item.target}; only {rules.SDK_USERS} may use the sdk"
    for name in (package, target):
        if name and name not in rules.FLOORS:
            return f"package {name!r} has no floor in architecture/rules.py"
    if not package or not target or rules.FLOORS[target] < rules.FLOORS[package]:
        return None
    how = "on the same floor" if rules.FLOORS[target] == rules.FLOORS[package] else "above it"
    return f"imports {item.target}, which is {how}"


def doors(source: Source, item: Import) -> str | None:
    """A domain is entered through its port, types and errors."""
    target = _package(item.target)
    if target not in rules.DOMAINS or target == source.package or source.package in rules.OPENS_ANY_FILE:
        return None
    if re.fullmatch(rules.DOOR, _inner(item.target)):
        return None
    return f"imports {item.target}; {target} is entered through its port, types and errors"


def pure_middle(source: Source, item: Import) -> str | None:
    """A domain's own thinking knows neither rpc nor storage nor its own adapters."""
    target = _package(item.target)
    if source.package not in rules.DOMAINS or target is None or not is_pure(source):
        return None
    if target == source.package:
        return f"imports its own adapter {item.target}" if re.fullmatch(rules.ADAPTER, _inner(item.target)) else None
    if target in rules.DOMAINS or target in rules.PURE_MAY_IMPORT:
        return None  # `doors` judges the first
    if f"{target}.{_inner(item.target)}" in rules.PURE_MAY_IMPORT:
        return None
    return f"imports {item.target}; a domain's middle knows the kernel, doors and telemetry.logs"


def owners(source: Source, item: Import) -> str | None:
    """A library is imported by the files that own it."""
    library = item.target.split(".")[0]
    if library not in rules.OWNERS:
        known = library in sys.stdlib_module_names or library in ("xinyu", "__future__")
        return None if known else f"imports {library}, which has no owner in architecture/rules.py"
    if any(matches(source.path, pattern) for pattern in rules.OWNERS[library]):
        return None
    return f"imports {library}, which belongs to {', '.join(rules.OWNERS[library])}"


def sans_io(source: Source, item: Import) -> str | None:
    """State machines get bytes and the time handed in."""
    library = item.target.split(".")[0]
    return (
        f"imports {library}, but does no I/O" if source.path in rules.SANS_IO and library in rules.IO_MODULES else None
    )


def kernel(source: Source, item: Import) -> str | None:
    """The kernel imports the standard library and itself."""
    if source.package != "kernel":
        return None
    library = item.target.split(".")[0]
    inside = _package(item.target) == "kernel" or library in sys.stdlib_module_names or library == "__future__"
    return None if inside else f"the kernel imports {item.target}"


def top_level(source: Source, item: Import) -> str | None:
    """Imports stand at the top, and nothing of ours is imported for type checking alone: both hide a cycle."""
    if item.in_function:
        return f"imports {item.target} inside a function"
    if item.type_checking and _package(item.target) is not None:
        return f"imports {item.target} under TYPE_CHECKING"
    return None


CHECKS: tuple[Check, ...] = (floors, doors, pure_middle, owners, sans_io, kernel, top_level)


def check_imports(code: Codebase, check: Check) -> Iterator[Breach]:
    """The breaches of one rule."""
    for source in code.sources:
        for item in source.imports:
            if why := check(source, item):
                yield Breach(check.__name__, f"{source.path}:{item.line}", why)


def is_pure(source: Source) -> bool:
    """Whether a domain's module is of its middle: neither adapter nor settings."""
    return source.inner != rules.SETTINGS and not re.fullmatch(rules.ADAPTER, source.inner)


@cache
def matches(path: str, pattern: str) -> bool:
    """Glob on whole parts: `*` stays inside one folder's name, `**` spans any number of folders."""
    return _match(tuple(path.split("/")), tuple(pattern.split("/")))


def _match(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_match(path[skip:], pattern[1:]) for skip in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _match(path[1:], pattern[1:])


def _package(module: str) -> str | None:
    """`xinyu.message.port` → `message`; "" for the bare package, None for what is not ours."""
    parts = module.split(".")
    if parts[0] != "xinyu":
        return None
    name = parts[1] if len(parts) > 1 else ""
    return "cli" if name.startswith("cli_") else name


def _inner(module: str) -> str:
    return ".".join(module.split(".")[2:])
