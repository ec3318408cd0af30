"""`python -m drills`, as `xinyu drill` calls it."""

import sys

from drills.cli import main

if __name__ == "__main__":
    sys.exit(main())
