"""Handlers of client frames, one module per domain, an EVENTS table each."""
