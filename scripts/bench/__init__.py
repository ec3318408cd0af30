"""The load generator and the workloads of `make bench`; run `scripts/bench/run.py --help`."""
