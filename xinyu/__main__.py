"""`python -m xinyu` is the `xinyu` command."""

from __future__ import annotations

from xinyu.cli import main

main()
