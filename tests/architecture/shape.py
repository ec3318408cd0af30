"""Checks of names, sizes, docstrings and unfinished code."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from architecture import rules
from architecture.codebase import Breach, Codebase, Source
from architecture.imports import matches

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_names(code: Codebase) -> Iterator[Breach]:
    """Names that say nothing, and the kernel's closed list."""
    for source in code.sources:
        for part in PurePosixPath(source.path).with_suffix("").parts:
            if part in rules.FORBIDDEN_NAMES:
                yield Breach("names", source.path, f"{part!r} says nothing about what is in it")
        if source.package == "kernel" and source.inner not in rules.KERNEL_MODULES:
            yield Breach("names", source.path, "the kernel is a closed list")


def check_sizes(code: Codebase) -> Iterator[Breach]:
    """Files, functions, constructors, ports and folders that have grown too large."""
    yield from _folders(code)
    for source in _written(code):
        limit = rules.FILE_LINES_OF.get(source.path, rules.FILE_LINES)
        lines = len(source.text.splitlines())
        if lines > limit:
            yield Breach("file", source.path, f"{lines} lines, more than {limit}")
        for name, node in _functions(source.tree):
            place = f"{source.path}::{name}"
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > rules.FUNCTION_LINES:
                yield Breach("function", place, f"{lines} lines, more than {rules.FUNCTION_LINES}")
            arguments = node.args
            count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
            if node.name == "__init__" and count > rules.CONSTRUCTOR_PARAMETERS:
                yield Breach("constructor", place, f"{count} parameters, more than {rules.CONSTRUCTOR_PARAMETERS}")
        for class_ in _classes(source.tree):
            methods = [item for item in class_.body if isinstance(item, Function) and _public(item.name)]
            if _is_port(class_) and len(methods) > rules.PORT_METHODS:
                why = f"{len(methods)} methods, more than {rules.PORT_METHODS}"
                yield Breach("port", f"{source.path}::{class_.name}", why)


def _folders(code: Codebase) -> Iterator[Breach]:
    written = (source.path for source in _written(code) if not source.path.endswith("__init__.py"))
    for folder, count in Counter(str(PurePosixPath(path).parent) for path in written).items():
        if count > rules.FOLDER_FILES:
            yield Breach("folder", folder, f"{count} files, more than {rules.FOLDER_FILES}")


def check_docstrings(code: Codebase) -> Iterator[Breach]:
    """Modules, public classes, and what ports and other interfaces promise."""
    for source in _written(code):
        if not ast.get_docstring(source.tree):
            yield Breach("docstrings", source.path, "a module without a docstring")
        for node in source.tree.body:
            if not isinstance(node, ast.ClassDef) or not _public(node.name):
                continue
            place = f"{source.path}::{node.name}"
            if not ast.get_docstring(node):
                yield Breach("docstrings", place, "a public class without a docstring")
            for method in node.body:
                promised = isinstance(method, Function) and _public(method.name) and _is_abstract(method)
                if promised and isinstance(method, Function) and not ast.get_docstring(method):
                    yield Breach("docstrings", f"{place}.{method.name}", "a promise without a docstring")


def check_finished(code: Codebase) -> Iterator[Breach]:
    """What is not built is absent: no stubs."""
    for source in code.sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.dump(node.exc):
                yield Breach("finished", f"{source.path}:{node.lineno}", "raises NotImplementedError")


def _written(code: Codebase) -> Iterator[Source]:
    for source in code.sources:
        if not any(matches(source.path, pattern) for pattern in rules.EXEMPT):
            yield source


def _functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.ClassDef | Function)
        if isinstance(node, Function):
            yield inside + node.name, node
        yield from _functions(node, f"{inside}{node.name}." if named else inside)


def _classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def _is_port(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split(".")[-1] == "Port" for base in node.bases)


def _is_abstract(method: Function) -> bool:
    return any(
        "abstractmethod" in (text := ast.unparse(mark)) or text.startswith("rpc(") for mark in method.decorator_list
    )


def _public(name: str) -> bool:
    return not name.startswith("_")
