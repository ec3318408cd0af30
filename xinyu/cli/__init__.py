"""The `xinyu` command: running a server, looking at its configuration, working on its data, trying it out."""

from xinyu.cli.program import main

__all__ = ["main"]
