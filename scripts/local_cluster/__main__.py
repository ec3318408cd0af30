"""`python -m local_cluster`, as scripts/gateways_run.sh calls it."""

import sys

from local_cluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
