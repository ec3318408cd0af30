"""The parts of `xinyu drill`: a stage as real processes, people who chat, and something that is broken meanwhile.

`cli` reads the command line, `run` is one drill from its start to its verdict, `report` draws it. `stage` starts and
breaks a stage (`net` and `proxy` its connections, `sessions` those of ZooKeeper); `faults` are the drills. `town` has
the accounts, `people` come with their `devices`, `chat` is what they do, `settling` how it ends and what is kept of it.
"""
