#!/usr/bin/env python
"""Measure the workloads of WORKLOADS: `scripts/bench/run.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.pop(1)  # this folder: its modules are reached as `bench.…` alone

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
