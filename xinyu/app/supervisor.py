"""A process from its start to its end: phases up, readiness, signals, drain, phases down in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop

import xinyu
from xinyu.app.admin import AdminApplication
from xinyu.app.cluster.membership import Membership
from xinyu.app.cluster.node import NodeService
from xinyu.app.cluster.port import NodeStatus
from xinyu.app.cluster.predecessor import Predecessor
from xinyu.app.containers.container import make_container
from xinyu.app.data_folder import DataFolder
from xinyu.app.lifecycle import Runs
from xinyu.app.listeners import Application, HttpListener, with_websocket
from xinyu.app.roles import ROLES
from xinyu.app.secrets import with_secrets
from xinyu.app.settings import ConfigError, Settings
from xinyu.app.shape import check_shape, histories_of, roles_of, serves_clients, uses_queue
from xinyu.app.status import Readiness
from xinyu.gateway.routes import ROUTES
from xinyu.kernel.errors import XinyuError, code_of
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.migrations import SchemaState
from xinyu.storage.redis import no_redis
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
DRAIN_STEP_SECONDS = 5.0
HURRIED_STEP_SECONDS = 0.3
"""What a step has left once nobody wants to wait any more."""
COLLECT_AFTER = (20_000, 50, 100)
"""gc.set_threshold: messages make no cycles, so collections may be rare."""


class Process:
    """One node. Built without I/O; `start` brings it up, `stop` down."""

    def __init__(self, settings: Settings) -> None:
        check_shape(settings)
        self.settings = with_secrets(settings)
        self.roles = roles_of(settings)
        self.container = make_container(self.settings, time.time_ns() // 1_000_000)
        self.readiness = Readiness()
        self.listeners: dict[str, HttpListener] = {}
        self._runs = Runs(self.container.clock())
        self._folder = DataFolder(settings.data_dir, settings.node, alone=settings.embedded)
        links = self.container.links()
        self._membership = Membership(links, self.roles) if links is not None else None
        self.predecessor: Predecessor | None = None
        placement = self.container.placement()
        for role in self.roles:
            for port, name in ROLES[role].ports.items():
                placement.serve(port, getattr(self.container, name))

    async def open_storage(self, migrate: bool) -> list[SchemaState]:
        """Phase STORAGE: take the data folder, open engines, bring schemas up to date or refuse old ones.
        Raises ConfigError, StorageUnavailable."""
        self._folder.take()
        states = await self.container.databases().open_for(histories_of(self.roles), migrate)
        if "presence" in self.roles and (redis := self.container.presence_redis()) is not None:
            try:
                await redis.ping()
            except StorageUnavailable as error:
                raise ConfigError(f"presence.redis_url: {no_redis(error)}") from error
        await self._find_queue()
        return states

    async def _find_queue(self) -> None:
        if uses_queue(self.roles) and (redis := self.container.queue_redis()) is not None:
            try:
                await redis.ping()
            except StorageUnavailable as error:
                raise ConfigError(f"{self.settings.queue_redis_section}.redis_url: {no_redis(error)}") from error

    async def close_storage(self) -> None:
        """The end of STORAGE."""
        await self.container.databases().close()
        if "presence" in self.roles and (redis := self.container.presence_redis()) is not None:
            await redis.close()
        if uses_queue(self.roles) and (redis := self.container.queue_redis()) is not None:
            await redis.close()
        if serves_clients(self.roles) and (counts := self.container.limit_counts()) is not None:
            await counts.close()
        self._folder.release()

    async def start(self) -> None:
        """Up, in phases, until ready. Raises ConfigError, StorageUnavailable and what discovery raises; then `stop`
        cleans up."""
        member = self._membership
        self._folder.take()  # a second server on it should not hear of ports
        if member is not None:
            self.container.address.override(member.bind())
        self._bind_listeners()
        if self.settings.predecessor.enabled and "gateway_ws" in self.roles:
            self.predecessor = self.container.predecessor()
            self.predecessor.bind()
        await self.open_storage(migrate=self.settings.embedded)
        if member is not None:
            await member.connect()
        self._start_roles()
        if member is not None:
            self.container.metrics().add_source(member.readings)
            await member.serve(self.container.placement(), NodeService(self._status))
        for listener in self.listeners.values():
            await listener.start()
        if self.predecessor is not None:
            await self.predecessor.start(self._runs, self.container.metrics())
        if member is not None:
            await member.register()
            self.readiness.waits_for = member.links.missing
        urls = {name: self.url(name) for name in self.listeners} | ({"rpc": member.address} if member else {})
        if self.predecessor is not None:
            urls["predecessor"] = self.predecessor.address
        self._folder.announce(urls)
        self.readiness.up = True
        log.info("ready", roles=",".join(self.roles), **urls)

    def _start_roles(self) -> None:
        metrics = self.container.metrics()
        metrics.add_source(self._runs.readings)
        for role in self.roles:
            spec = ROLES[role]
            for name in spec.ports.values():
                getattr(self.container, name)()
            for name in spec.readings:
                metrics.add_source(getattr(self.container, name)().readings)
            for name in spec.runs:
                self._runs.start(name, getattr(self.container, name)())

    async def stop(self, hurry: asyncio.Event) -> None:
        """Down again: not ready → no new connections → sessions sent away → calls of others finished → queues empty →
        runs → withdrawn → stores. Each step has its limit, and `hurry` ends the waits."""
        self.readiness.up, self.readiness.draining = False, True
        member = self._membership
        if member is not None:
            await self._step("leave", member.leave(), DRAIN_STEP_SECONDS, hurry)
        for name, listener in self.listeners.items():
            if name != "admin":
                await listener.close_door()
        if "gateway_ws" in self.roles and self.listeners:
            seconds = self.settings.gateway.drain_seconds
            drain = self.container.socket_housekeeping().drain(seconds)
            await self._step("sessions", drain, seconds + DRAIN_STEP_SECONDS, hurry)
        if self.predecessor is not None:
            stopping = self.predecessor.stop(DRAIN_STEP_SECONDS)
            await self._step("predecessor", stopping, DRAIN_STEP_SECONDS + 1, hurry)
        await self._drain_roles(hurry)
        for listener in self.listeners.values():
            await listener.stop()
        if member is not None:
            await self._step("calls", member.drain(DRAIN_STEP_SECONDS), DRAIN_STEP_SECONDS + 1, hurry)
            await self._drain_roles(hurry)  # what those calls left in queues
        await self._runs.stop()
        if member is not None:
            await self._step("withdraw", member.stop(), DRAIN_STEP_SECONDS, hurry)
        await self.container.predecessor_caller().close()
        if "gateway_http" in self.roles or "media" in self.roles:
            self.container.blobs().close()
        await self.close_storage()

    async def _drain_roles(self, hurry: asyncio.Event) -> None:
        for role in self.roles:
            for name in ROLES[role].drains:
                drained = getattr(self.container, name)().drained()
                await self._step(name, drained, DRAIN_STEP_SECONDS, hurry)

    def _status(self) -> NodeStatus:
        member = self._membership
        return NodeStatus(
            node=self.settings.node,
            roles=list(self.roles),
            version=xinyu.__version__,
            ready=self.readiness.ready,
            sessions=len(self.container.hub()) if "gateway_ws" in self.roles else 0,
            serving=member.serving if member is not None else 0,
            calling=member.links.client.calling if member is not None else 0,
            failing_runs=sorted(self._runs.failing),
        )

    def url(self, listener: str) -> str:
        """The address of a listener."""
        host, port = self.listeners[listener].address
        scheme = "ws" if listener == "ws" else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def _bind_listeners(self) -> None:
        """Take every port. Raises ConfigError naming all that cannot be had."""
        settings, gateway, container = self.settings, self.settings.gateway, self.container
        wanted = {name for role in self.roles for name in ROLES[role].listeners}
        refused: list[str] = []
        admin = AdminApplication(self.settings, self.roles, self.readiness, container, self._runs).build()

        def bind(name: str, setting: str, host: str, port: int, app: Application) -> None:
            listener = HttpListener(setting, host, port, app, gateway.max_frame_bytes)
            try:
                listener.bind()
            except ConfigError as error:
                refused.append(str(error))
            else:
                self.listeners[name] = listener

        bind("admin", "admin_port", settings.admin_host, settings.admin_port, admin)
        socket_app = container.ws_endpoint() if "ws" in wanted else None
        shared = gateway.ws_on_http or gateway.http_port == gateway.ws_port != 0
        if "http" in wanted:
            rest = container.rest().build(ROUTES, self.readiness.routes())
            app = with_websocket(rest, socket_app if shared else None, gateway.trusted_proxies)
            bind("http", "gateway.http_port", gateway.http_host, gateway.http_port, app)
        if socket_app is not None and not ("http" in wanted and gateway.http_port == gateway.ws_port != 0):
            app = with_websocket(None, socket_app, gateway.trusted_proxies)
            bind("ws", "gateway.ws_port", gateway.ws_host, gateway.ws_port, app)
        if refused:
            raise ConfigError("; ".join(refused))

    async def _step(self, name: str, work: Awaitable[None], seconds: float, hurry: asyncio.Event) -> None:
        task, skip = asyncio.ensure_future(work), asyncio.ensure_future(hurry.wait())
        await asyncio.wait([task, skip], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if skip.done():
            await asyncio.wait([task], timeout=HURRIED_STEP_SECONDS)
        skip.cancel()
        if not task.done():
            log.warning("a step of the stop took too long and was skipped", step=name)
            task.cancel()
        elif (error := task.exception()) is not None:
            log.warning("a step of the stop failed", step=name, error=code_of(error), reason=repr(error))


def _settle_memory() -> None:
    """What was made at the start stays for good: the collector need not walk it again. Without this, its pauses are
    what the slowest percent of messages waits for (docs/explanation/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def run_process(settings: Settings) -> Process:
    """Start a process and return it running."""
    process = Process(settings)
    try:
        await process.start()
    except BaseException:
        hurry = asyncio.Event()
        hurry.set()
        with contextlib.suppress(XinyuError):
            await process.stop(hurry)
        raise
    return process


def run_server(settings: Settings, on_ready: Callable[[Process], None]) -> None:
    """`serve` on an event loop of its own, of the kind that the settings name."""
    factory = uvloop.new_event_loop if settings.event_loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(settings, on_ready))


async def serve(settings: Settings, on_ready: Callable[[Process], None]) -> None:
    """Run until SIGINT or SIGTERM; a second signal skips the waits. `on_ready(process)` is called once it is up."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    process = await run_process(settings)
    _settle_memory()
    on_ready(process)
    await stop.wait()
    log.info("stopping; a second signal skips the waits")
    try:
        async with asyncio.timeout(settings.shutdown_seconds):
            await process.stop(hurry)
        log.info("stopped")
    except TimeoutError:
        log.error("the stop took longer than shutdown_seconds; what was acknowledged is stored")


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Process]:
    """A process with its stores open and nothing else: for commands while no server runs."""
    process = Process(settings)
    try:
        await process.open_storage(migrate=settings.embedded)
        yield process
    finally:
        await process.close_storage()
