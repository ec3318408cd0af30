"""One module per domain: handlers, the ROUTES list, the contract's ERRORS strings."""
