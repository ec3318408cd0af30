"""The commands under one name, and what happens when one fails: one line on stderr and an exit code, never a trace."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

import xinyu
from xinyu.app.moving.errors import MoveError
from xinyu.app.settings import ConfigError
from xinyu.cli import chat, cluster, config, demo, drill, grants, overview, run, simulate, users
from xinyu.cli.moving import copy
from xinyu.kernel.errors import XinyuError
from xinyu.sdk.errors import ApiError, ConnectionLost

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130

program = typer.Typer(
    name="xinyu", help="A distributed instant-messaging server.", add_completion=False, pretty_exceptions_enable=False
)
program.command("run")(run.run)
program.command("cluster")(cluster.cluster)
program.command("roles")(overview.roles)
program.command("routes")(overview.routes)
program.add_typer(config.commands, name="config")
program.command("migrate")(config.migrate)
program.command("grants")(grants.grants)
program.add_typer(config.key_commands, name="keys")
program.add_typer(users.commands, name="user")
program.add_typer(copy.commands, name="data")
program.command("demo")(demo.demo)
program.command("chat")(chat.chat)
program.command("drill", context_settings=drill.ANY_ARGUMENTS)(drill.drill)
program.command("simulate")(simulate.command)


@program.callback(invoke_without_command=True)
def _top(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        print(xinyu.__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        code = program(arguments, prog_name="xinyu", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except Exception as error:
        if os.environ.get("XINYU_DEBUG") == "1":
            traceback.print_exc()
        line, code = explained(error)
        print(f"xinyu: {line}", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def explained(error: Exception) -> tuple[str, int]:
    """One line for an error, and the exit code."""
    wrong_use = getattr(error, "format_message", None)  # click's, or typer's own since it no longer stands on click
    if wrong_use is not None:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        return _one_line(wrong_use()) + hint, int(getattr(error, "exit_code", WRONG_USE))
    if isinstance(error, ApiError):
        return _one_line(f"the server refused: {error}"), FAILED
    if isinstance(error, ConnectionLost):
        return _one_line(f"the server cannot be reached or does not answer ({error.message})"), FAILED
    if isinstance(error, XinyuError):
        detail = error.details.get("details")
        return _one_line(f"{error.message}{f' ({detail})' if detail else ''}"), FAILED
    if isinstance(error, ConfigError | MoveError):
        return _one_line(str(error)), FAILED
    if isinstance(error, OSError):
        return _one_line(f"{error.filename or 'the system refused'}: {error.strerror or error}"), FAILED
    kind = type(error).__name__
    return _one_line(f"a defect of xinyu: {kind}: {error}; XINYU_DEBUG=1 shows where, please report it"), FAILED


def _one_line(text: str) -> str:
    return " ".join(text.split())
