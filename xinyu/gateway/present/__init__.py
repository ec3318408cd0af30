"""Presenters: domain values in, the contract's JSON out. One module per domain."""
