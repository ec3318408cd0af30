"""Nothing in the repository belongs to one machine."""

from collections.abc import Iterator

from architecture.codebase import ROOT, tracked_files
from architecture.rules import MACHINE_PATHS, MACHINE_PATHS_ALLOWED


def lines_naming_a_machine(text: str) -> Iterator[int]:
    """Numbers of the lines with a path that exists on one machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        if any(path in line for path in MACHINE_PATHS):
            yield number


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if path not in MACHINE_PATHS_ALLOWED:
            found += [f"{path}:{line}" for line in lines_naming_a_machine(text)]
    assert not found, "\n".join(found)


def test_the_search_finds_such_a_path() -> None:
    assert list(lines_naming_a_machine("fine\nlog: " + "/".join(("", "home", "somebody", "log")))) == [2]
