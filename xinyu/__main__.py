"""The `xinyu` command, by this name and as `python -m xinyu`."""

from __future__ import annotations

import sys

try:
    from xinyu.cli import main
except KeyboardInterrupt:  # loading takes a second, in which nothing has begun yet: no stack for that
    sys.exit(130)

__all__ = ["main"]

if __name__ == "__main__":
    main()
