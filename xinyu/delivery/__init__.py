"""From "these users" to "those sockets": locates recipients, groups them by node, hands each node its pushes.

Owns no table. Knows nothing of messages: a push's payload is opaque here, and what became of it is told through
`CompletionPort`, which `message` implements.
"""
