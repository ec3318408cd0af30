"""Calls between domains: stubs and dispatch derived from ports. Knows no domain.

`spec` reads a port, `stub` makes a caller's side of it, `dispatch` a server's side; a transport joins the two:
`transport_local` (a method call), `transport_loopback` (encoded, in one process: for tests).
"""
