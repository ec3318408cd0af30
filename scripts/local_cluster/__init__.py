"""The parts of `scripts/gateways_run.sh`: a whole stage of config/stages on this machine, as real processes.

`cli` reads the command line, `cluster` starts and stops a stage, `watch` starts again what died, `node` is one process,
`stage` reads the configuration and finds what it leaves open, `engines` starts what is not configured, `schema` makes
the tables, `workplace` knows the files and `state` what is in the one that remembers pids, `report` prints.
"""
