"""The parts of `xinyu drill`: a stage as real processes, people who chat, and something that is broken meanwhile.

`cli` reads the command line, `stage` starts and breaks a stage, `people` chat and write down what they see, `faults`
are the drills, `run` is one of them from its start to its verdict, `report` draws it.
"""
