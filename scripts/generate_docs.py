#!/usr/bin/env python3
"""Writes docs/reference from the code; with `--check` only says whether it is in step (exit code 1 when it is not)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference_pages import PAGES

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"


def outdated(folder: Path = FOLDER) -> list[str]:
    """Pages that are missing or differ from what the code says, and pages that nobody writes."""
    differing = [
        name
        for name, make in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != make()
    ]
    return differing + sorted(path.name for path in folder.glob("*.md") if path.name not in PAGES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        names = outdated()
        for name in names:
            print(f"docs/reference/{name} is out of step with the code; run `make docs`", file=sys.stderr)
        return 1 if names else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
