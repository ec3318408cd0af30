"""A whole cluster in one process, under a virtual clock and a seeded scheduler: what a seed does, it does again.

The services, delivery, presence, gateways and SDK clients are the real ones. Made up is what they stand on (`world`:
the time, the network, the engines) and what happens (`faults`, `story`). `run` plays one seed and has its history
judged by `xinyu.drill.checker`.
"""
