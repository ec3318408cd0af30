#!/usr/bin/env python3
"""Discovery shown at work: two small processes register in ZooKeeper and this one watches what becomes of them.

One drains and leaves in peace; one is killed, expires with its session and is started anew; then it is frozen until
its session is over and comes back by itself. Less than 10 s. ZooKeeper: --hosts, or XINYU_DISCOVERY__ZOOKEEPER_HOSTS,
or that of `scripts/engines start zookeeper` (which `scripts/gateways_run.sh start 0` starts as well).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable

from local_engines.cli import ROOT as ENGINES_ROOT
from local_engines.instance import Instance as Engine
from local_engines.servers import SERVERS
from xinyu.discovery.registry_zookeeper import ZooKeeperRegistry
from xinyu.discovery.settings import DiscoverySettings
from xinyu.discovery.types import Instance, State
from xinyu.discovery.watching import Watch
from xinyu.discovery.zookeeper_client import ZooKeeperClient
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import NodeId
from xinyu.telemetry.logs import configure_logs

ROLE = "demo"
SESSION_SECONDS = 2.0
PATIENCE_SECONDS = 12.0
"""How long a step may take: a ZooKeeper with long ticks stretches sessions."""
DRAIN_SECONDS = 1.0
ANY_VERSION = -1


def main() -> int:
    """The exit code: 0 when every step was seen, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="", help="host:port,… of ZooKeeper")
    parser.add_argument("--instance", nargs=2, metavar=("NAME", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    hosts = options.hosts or os.environ.get("XINYU_DISCOVERY__ZOOKEEPER_HOSTS") or _private_zookeeper()
    if not hosts:
        print(
            "xinyu: no ZooKeeper; start one by `scripts/engines start zookeeper` or name one by --hosts",
            file=sys.stderr,
        )
        return 1
    configure_logs("error", "console", "discovery_demo", ROLE)
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)  # what it would say is what is shown here
    try:
        if options.instance:
            asyncio.run(_be_an_instance(options.instance[0], _settings(hosts, options.instance[1])))
        else:
            asyncio.run(_show(hosts))
    except KeyboardInterrupt:
        return 130
    except (XinyuError, TimeoutError) as error:
        print(f"xinyu: {error}", file=sys.stderr)
        return 1
    return 0


def _private_zookeeper() -> str:
    engine = Engine(SERVERS["zookeeper"], ENGINES_ROOT)
    state = engine.state()
    return engine.address(state) if state is not None else ""


def _settings(hosts: str, root: str) -> DiscoverySettings:
    return DiscoverySettings(
        registry="zookeeper", zookeeper_hosts=hosts, root=root, session_seconds=SESSION_SECONDS, connect_seconds=4
    )


async def _be_an_instance(name: str, settings: DiscoverySettings) -> None:
    """A process as discovery knows it: registered until SIGTERM, then draining for a while, then gone."""
    asked_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_end.set)
    registry = ZooKeeperRegistry(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await registry.start()
        try:
            await registry.register(_described(name, listener.getsockname()[1]))
            await asked_to_end.wait()
            await registry.set_state(State.DRAINING)
            await asyncio.sleep(DRAIN_SECONDS)  # a server's clients are sent away meanwhile
        finally:
            await registry.close()


def _described(name: str, port: int) -> Instance:
    now = time.time_ns() // 1_000_000
    return Instance(
        node=NodeId(name), epoch=now, host="127.0.0.1", port=port, roles=(ROLE,), state=State.READY, started_at=now
    )


class _Stage:
    """What happens, told with the time since the beginning."""

    def __init__(self, hosts: str, root: str, watch: Watch) -> None:
        self._hosts = hosts
        self._root = root
        self._watch = watch
        self._began = time.monotonic()
        self._processes: list[asyncio.subprocess.Process] = []
        self._told: dict[NodeId, Instance] = {}

    def tell(self, text: str) -> None:
        """A line."""
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)

    async def start(self, name: str) -> asyncio.subprocess.Process:
        """Start a process that registers under this name."""
        arguments = ["--hosts", self._hosts, "--instance", name, self._root]
        process = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
        self._processes.append(process)
        self.tell(f"· {name} is started, pid {process.pid}")
        return process

    async def follow(self) -> None:
        """Tell every change that ZooKeeper tells us."""
        async for snapshot in self._watch:
            before, now = self._told, {instance.node: instance for instance in snapshot}
            for name in sorted(before.keys() | now.keys()):
                if before.get(name) != now.get(name):
                    self.tell(f"    watcher: {_change(name, before.get(name), now.get(name))}")
            self._told = now

    async def until(self, seen: Callable[[dict[NodeId, Instance]], bool]) -> None:
        """Return when `follow` has told that the instances are so. Raises TimeoutError, saying what is seen instead."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not seen(self._told):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not seen within {PATIENCE_SECONDS:g} s; now: {list(self._told.values())}")
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        """End every process that was started."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _change(name: str, before: Instance | None, now: Instance | None) -> str:
    if now is None:
        return f"{name} is gone"
    described = f"{name} is {now.state.value} at {now.address}, epoch {now.epoch}"
    if before is not None and before.epoch != now.epoch:
        return f"{described}: another life, and so another address"
    return described


async def _show(hosts: str) -> None:
    root = f"/xinyu-discovery-demo-{secrets.token_hex(4)}"
    registry = ZooKeeperRegistry(_settings(hosts, root))
    await registry.start()
    stage = _Stage(hosts, root, await registry.watch(ROLE))
    stage.tell(f"watching {root}/{ROLE} on {hosts}")
    following = asyncio.create_task(stage.follow())
    try:
        await _tell_the_story(stage)
    finally:
        await stage.end()
        await registry.close()
        await following
        await _clear(hosts, root)


async def _clear(hosts: str, root: str) -> None:
    """Leave nothing in ZooKeeper: what stands above instances stays when they go."""
    client = ZooKeeperClient(hosts, SESSION_SECONDS)
    await client.start(PATIENCE_SECONDS, lambda: None)
    try:
        for name in await client.children(root):
            await client.delete(f"{root}/{name}", ANY_VERSION)
        await client.delete(root, ANY_VERSION)
    finally:
        await client.stop()


async def _tell_the_story(stage: _Stage) -> None:
    first, second = await stage.start("demo-1"), await stage.start("demo-2")
    await stage.until(lambda seen: {"demo-1", "demo-2"} <= seen.keys())

    stage.tell("· demo-1 gets SIGTERM: it drains, so nobody calls it any more, and then withdraws")
    first.terminate()
    await stage.until(lambda seen: "demo-1" not in seen)
    await first.wait()

    stage.tell(f"· demo-2 gets SIGKILL: nobody says so; its session expires after {SESSION_SECONDS:g} s of silence")
    second.kill()
    await second.wait()
    await stage.until(lambda seen: "demo-2" not in seen)

    again = await stage.start("demo-2")
    await stage.until(lambda seen: "demo-2" in seen)

    stage.tell("· demo-2 is frozen (SIGSTOP) for longer than its session lasts")
    again.send_signal(signal.SIGSTOP)
    await stage.until(lambda seen: "demo-2" not in seen)
    stage.tell("· demo-2 goes on (SIGCONT): it finds its session lost and registers again by itself")
    again.send_signal(signal.SIGCONT)
    await stage.until(lambda seen: "demo-2" in seen)

    stage.tell("· demo-2 gets SIGTERM")
    again.terminate()
    await stage.until(lambda seen: not seen)
    await again.wait()


if __name__ == "__main__":
    sys.exit(main())
