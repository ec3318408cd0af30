"""Source files and what they import, read with `ast` and never executed."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Import:
    """One imported module, absolute, as precise as may be: `from a import b` is `a.b` where that is a file."""

    target: str
    line: int
    in_function: bool
    type_checking: bool


@dataclass(frozen=True)
class Breach:
    """One place where a rule is broken."""

    rule: str
    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why} [{self.rule}]"


class Source:
    """One Python file of the package, by its path from the repository's root."""

    def __init__(self, path: str, text: str, modules: frozenset[str]) -> None:
        self.path = path
        self.text = text
        self._modules = modules
        self.module = module_of(path)

    @property
    def package(self) -> str:
        """The floor's name: `xinyu/message/store.py` is of `message`, `xinyu/cli_chat.py` of `cli`."""
        parts = self.module.split(".")
        name = parts[1] if len(parts) > 1 else ""
        return "cli" if name.startswith("cli_") else name

    @property
    def inner(self) -> str:
        """The module's name inside its package: `store`, `http.app`, `__init__`."""
        rest = self.module.split(".")[2:]
        return ".".join(rest) or "__init__"

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.path)

    @cached_property
    def imports(self) -> list[Import]:
        """All imports, also the ones inside functions and conditions."""
        return list(dict.fromkeys(self._walk(self.tree, False, False)))

    def _walk(self, node: ast.AST, in_function: bool, type_checking: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, in_function, type_checking)
            elif isinstance(child, ast.ImportFrom):
                for target in self._targets(child):
                    yield Import(target, child.lineno, in_function, type_checking)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                yield from self._walk(child, in_function, True)
            else:
                inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from self._walk(child, inside, type_checking)

    def _targets(self, node: ast.ImportFrom) -> Iterator[str]:
        origin = node.module or ""
        if node.level:
            here = self.module.split(".")
            package = here if self.path.endswith("/__init__.py") else here[:-1]
            above = package[: len(package) - node.level + 1]
            origin = ".".join([*above, origin] if origin else above)
        for alias in node.names:
            whole = f"{origin}.{alias.name}"
            yield whole if whole in self._modules else origin


class Codebase:
    """The package's files: the repository's own, or made-up ones for testing the checks."""

    def __init__(self, files: Mapping[str, str]) -> None:
        modules = frozenset(map(module_of, files))
        self.sources = [Source(path, text, modules) for path, text in sorted(files.items())]

    @classmethod
    def of_repository(cls) -> Codebase:
        """All that git tracks or would track below xinyu/."""
        paths = [path for path in tracked_files() if path.startswith("xinyu/") and path.endswith(".py")]
        return cls({path: (ROOT / path).read_text() for path in paths})


def module_of(path: str) -> str:
    """`xinyu/a/b.py` → `xinyu.a.b`, `xinyu/a/__init__.py` → `xinyu.a`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def tracked_files() -> list[str]:
    """Files that are in git or would be by `git add`; of an unpacked archive without git, all but hidden ones."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
        return sorted({path for path in listed if path and (ROOT / path).is_file()})
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if not any(part.startswith(".") for part in path.parts))
