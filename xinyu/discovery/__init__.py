"""Who is there: which processes host which roles, where they listen, and which of them to call.

Knows no domain. Invariants: one live process per node name; a node of an older life is replaced, never adopted; what
was last known stays known while the registry is away (G10); an instance that drains gets no new calls.
"""
