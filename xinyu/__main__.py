"""The `xinyu` command, by this name and as `python -m xinyu`."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command. What it needs is loaded here, not above: that takes a second, in which Ctrl-C ends it without a
    stack."""
    try:
        from xinyu.cli import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
