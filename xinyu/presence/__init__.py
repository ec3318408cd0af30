"""Who is connected where: user → sessions → node.

Owns no table: sessions live in memory (one process) or Redis. Invariants: old never beats new (G7) — every change names
(node, node epoch, session), and an entry of a dead epoch counts for nothing.
"""
