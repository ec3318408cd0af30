"""Calls between domains: stubs and dispatch derived from ports. Knows no domain.

`spec` reads a port, `stub` makes a caller's side of it, `dispatch` a server's side; a transport joins the two:
`transport_local` (a method call), `transport_loopback` (encoded, in one process: for tests), `transport_tcp` (another
process). The last one's parts: `wire` (frames), `handshake`, `connection` (one socket) and its sides `client` and
`server`, `pool` (a process's connections to others), `breaker` (rests, budgets, pauses).
"""
