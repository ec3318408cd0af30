"""The process that fuzzers throw everything at: the monolith with all of its ports, and an authenticated Rock listener
beside them, which a monolith has no use for. Its arguments are configuration files."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from xinyu.app.settings import Settings
from xinyu.app.supervisor import Process, run_server
from xinyu.cli.options import settings_of
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import Identity
from xinyu.rpc.server import RpcServer
from xinyu.telemetry.logs import configure_logs


async def serve_rock(process: Process, settings: Settings) -> None:
    """All ports of the process for whoever knows the secret, as in a cluster."""
    dispatcher, placement = Dispatcher(), process.container.placement()
    for port in placement.local_ports():
        dispatcher.add(port, placement.service(port))
    identity = Identity(settings.node, 1, settings.rpc.secret.encode())
    await RpcServer(dispatcher, settings.rpc, identity).start(port=settings.rpc.port)


def main() -> None:
    settings = settings_of([Path(name) for name in sys.argv[1:]])
    configure_logs(settings.log.level, settings.log.style, "fuzzed", settings.node)
    tasks: list[asyncio.Task[None]] = []
    run_server(settings, lambda process: tasks.append(asyncio.ensure_future(serve_rock(process, settings))))


if __name__ == "__main__":
    main()
