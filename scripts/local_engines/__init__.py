"""The parts of `scripts/engines`: standard library only, so that it runs before anything is installed.

`cli` reads the command line, `instance` starts and stops one engine under .run/engines, `servers` knows what each
engine wants (programs, configuration, readiness), `packages` installs what is missing, `process` knows pids and ports.
"""
