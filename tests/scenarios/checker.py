"""The history checker of GUARANTEES.md by the name it has there; its parts are in the package, for the drills."""

from xinyu.drill.checker import PROMISES, Outage, Verdict, Violation, check
from xinyu.drill.history import History, read_lines

__all__ = ["PROMISES", "History", "Outage", "Verdict", "Violation", "check", "read_lines"]
