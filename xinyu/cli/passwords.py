"""Asking for what is missing on the command line; a password without showing it."""

from __future__ import annotations

import getpass
import os
import sys

from xinyu.app.settings import ConfigError


def ask(prompt: str) -> str:
    """A line from the terminal or stdin. Raises ConfigError when there is none."""
    if sys.stdin.isatty():
        try:
            answer = input(f"{prompt}: ").strip()
        except EOFError:
            answer = ""
    else:
        answer = _line_of_stdin().strip()
    if not answer:
        raise ConfigError(f"no {prompt} given")
    return answer


def _line_of_stdin() -> str:
    """One line and not a byte more: what follows is for others to read."""
    taken = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        taken += byte
    return taken.decode("utf-8", "replace").rstrip("\r")


def ask_password(prompt: str, repeat: bool = False) -> str:
    """From the terminal without echo (twice with `repeat`), or one line of stdin where that is no terminal.
    Raises ConfigError when there is none."""
    if not sys.stdin.isatty():
        password = _line_of_stdin()
    else:
        try:
            password = getpass.getpass(f"{prompt}: ")
            if repeat and getpass.getpass(f"{prompt} again: ") != password:
                raise ConfigError("the two passwords differ")
        except EOFError:
            password = ""
    if not password:
        raise ConfigError("no password given (--password, the terminal, or a line on stdin)")
    return password
