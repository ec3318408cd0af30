"""What goes wrong in a run. A fault waits for its end: the process is ready, the engine answers, the link is whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from xinyu.drill.history import G4_SECONDS, REDIS_SECONDS, Fault
from xinyu.simulation.cluster import BOOT_SECONDS, Cluster
from xinyu.simulation.page import Page
from xinyu.simulation.phone import Phone
from xinyu.simulation.world.database import NAME as DATABASE

Device = Phone | Page
COMMIT_SECONDS = 3.0
"""How long a fault waits for a message to be stored."""
Guest = Callable[[list[str]], Page]
LINKS = (
    ("gateway_ws", "message"),
    ("gateway_ws", "message"),
    ("gateway_ws", "presence"),
    ("message", "presence"),
    ("user", "message"),
    ("message", DATABASE),
)
"""Whose ways to whom are broken, by role."""


class Faults:
    """Breaks a cluster, and mends it."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device], guest: Guest, rng: random.Random) -> None:
        """`guest` makes a page of somebody who talks to nobody, at these gateways."""
        self._cluster = cluster
        self._devices = devices
        self._guest = guest
        self._rng = rng
        self._busy: set[str] = set()
        self._loop = cluster.around.loop
        self._network = cluster.around.network

    async def inject(self, name: str) -> Fault | None:
        """Do it; None where what it needs is broken already."""
        began = self._loop.time()
        proof = await KINDS[name](self)
        if proof is None:
            return None
        bound = REDIS_SECONDS if name == "restart-redis" else G4_SECONDS
        return Fault(name, began, self._loop.time(), proof, bound)

    def _take(self, role: str, wanted: str = "") -> str | None:
        """A process of a role (the wanted one) that no other fault touches now; give it back."""
        names = [name for name in self._cluster.of_role(role) if name not in self._busy and wanted in ("", name)]
        if not names:
            return None
        name = self._rng.choice(names)
        self._busy.add(name)
        return name

    async def kill(self, role: str, wanted: str = "") -> str | None:
        """SIGKILL, and a new life after a while."""
        name = self._take(role, wanted)
        if name is None:
            return None
        before = self._cluster.crash(name)
        await asyncio.sleep(BOOT_SECONDS + self._rng.random() * 3)
        after = await self._cluster.boot(name)
        self._busy.discard(name)
        return f"{name} in epoch {before.epoch} killed, {after.epoch} is ready"

    async def kill_at_commit(self) -> str | None:
        """SIGKILL of a process that has just committed messages, and is about to hear of it, or to tell of it."""
        engine, moment = self._cluster.around.engine, self._loop.create_future()

        def committed(where: str, what: str) -> None:
            if "append" in what and not moment.done():
                moment.set_result(where)

        engine.committed = committed
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                name = await moment
        except TimeoutError:
            return None
        finally:
            engine.committed = None
        await asyncio.sleep(self._rng.choice((0.0, 0.001, 0.005)) * self._rng.random())
        return await self.kill("message", name)

    async def pause(self, role: str) -> str | None:
        """SIGSTOP and SIGCONT."""
        name = self._take(role)
        if name is None:
            return None
        life, seconds = self._cluster.lives[name], self._rng.choice((0.5, 3.0, 7.0, 13.0)) * self._rng.uniform(0.7, 1)
        life.place.pause()
        await asyncio.sleep(seconds)
        life.place.resume()
        self._busy.discard(name)
        return f"{name} stood still for {seconds:.1f} s"

    async def drain(self, role: str) -> str | None:
        """SIGTERM, and a new life."""
        name = self._take(role)
        if name is None:
            return None
        before = await self._cluster.leave(name)
        await asyncio.sleep(BOOT_SECONDS)
        after = await self._cluster.boot(name)
        self._busy.discard(name)
        return f"{name} in epoch {before.epoch} left, {after.epoch} is ready"

    async def restart_redis(self) -> str | None:
        """Away for a moment, then empty."""
        memory = self._cluster.around.memory
        if not self._claim("redis"):
            return None
        memory.away = True
        await asyncio.sleep(self._rng.uniform(0.05, 2.0))
        memory.forget()
        memory.away = False
        self._busy.discard("redis")
        return "presence's memory was lost"

    async def stop_redis(self) -> str | None:
        """Away for longer, nothing lost."""
        memory = self._cluster.around.memory
        if not self._claim("redis"):
            return None
        seconds = self._rng.uniform(0.5, 12.0)
        memory.away = True
        await asyncio.sleep(seconds)
        memory.away = False
        self._busy.discard("redis")
        return f"presence's memory was away for {seconds:.1f} s"

    async def restart_database(self) -> str | None:
        """Away for a while; what was committing is in doubt."""
        engine = self._cluster.around.engine
        if not self._claim(DATABASE):
            return None
        seconds = self._rng.uniform(0.2, self._rng.choice((3.0, 3.0, 20.0)))
        engine.away = True
        await asyncio.sleep(seconds)
        engine.away = False
        self._busy.discard(DATABASE)
        return f"the database was away for {seconds:.1f} s"

    async def doubtful_commits(self) -> str | None:
        """Half of the commits are not answered."""
        engine = self._cluster.around.engine
        if not self._claim(DATABASE):
            return None
        engine.doubtful = 0.5
        await asyncio.sleep(self._rng.uniform(0.5, 2.0))
        engine.doubtful = 0.0
        self._busy.discard(DATABASE)
        return "half of the commits were in doubt"

    async def slow_database(self) -> str | None:
        """Transactions of one process wait for long, and run though their callers have lost it meanwhile."""
        name = self._rng.choice(self._cluster.of_role("message"))
        engine = self._cluster.around.engine
        if not self._claim(DATABASE):
            return None
        engine.slow = name
        [caller] = self._cluster.of_role("group")
        for _ in range(self._rng.randint(2, 8)):
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))
            self._network.cut(caller, name)
            self._network.paths.mend(caller, name)
        engine.slow = ""
        self._busy.discard(DATABASE)
        return f"transactions of {name} were slow"

    async def twin_gateway(self) -> str | None:
        """A gateway stands still, is taken for dead and started anew elsewhere; then the old one goes on. Somebody who
        vanished with it must not stay connected by it."""
        visitor = self._guest(self._cluster.of_role("gateway_ws"))
        await visitor.place.spawn(visitor.connect())
        socket = visitor.socket
        assert socket is not None
        old = socket.life
        if old.name in self._busy or not old.ready or not socket.open:
            visitor.place.kill()
            socket.break_off()
            return None
        self._busy.add(old.name)
        old.place.pause()
        visitor.place.kill()
        new = await self._cluster.supersede(old.name)
        probe = self._guest([old.name])  # who comes to the new life, so that presence hears of it
        await probe.place.spawn(probe.connect())
        old.place.resume()
        self._busy.discard(old.name)
        return f"{old.name} went on in epoch {old.epoch} beside {new.epoch}"

    async def swallow(self) -> str | None:
        """What a gateway writes to a page is lost, and nobody says anything after it."""
        page = self._rng.choice([device for device in self._devices if isinstance(device, Page)])
        speaker = self._rng.choice([device for device in self._devices if device is not page])
        shared = [where for where in page.places if where in speaker.places]
        socket = page.socket
        if socket is None or not socket.open:
            return None
        socket.swallows = True
        await speaker.place.spawn(speaker.say(self._rng.choice(shared)))
        await asyncio.sleep(self._rng.uniform(0.5, 3.0))
        socket.swallows = False
        return f"frames to {page.name} were lost"

    async def cut_link(self) -> str | None:
        """Two processes lose their connections and get none, or one of them the database."""
        a, b = self._two_processes()
        self._network.cut(a, b)
        await asyncio.sleep(self._rng.uniform(0.2, 6.0))
        self._network.paths.mend(a, b)
        return f"{a} and {b} could not connect"

    async def stall_link(self) -> str | None:
        """Nothing passes between two processes, and nobody is told."""
        a, b = self._two_processes()
        seconds = self._rng.uniform(0.2, 6.0)
        self._network.paths.stall(a, b, self._loop.time() + seconds)
        await asyncio.sleep(seconds)
        return f"nothing passed between {a} and {b} for {seconds:.1f} s"

    async def blink(self) -> str | None:
        """Connections between processes break, and are made again."""
        for _ in range(self._rng.randint(1, 8)):
            a, b = self._two_processes()
            self._network.cut(a, b)
            self._network.paths.mend(a, b)
            await asyncio.sleep(self._rng.uniform(0.0, 0.4))
        return "connections broke"

    async def cut_clients(self) -> str | None:
        """Some clients lose their sockets; their gateways hear of it, or not."""
        cut = 0
        for _ in range(self._rng.randint(1, 4)):
            device = self._rng.choice(self._devices)
            socket = device.socket
            if socket is not None and socket.open:
                cut += 1
                if self._rng.random() < 0.5:
                    socket.break_off()
                else:
                    socket.vanish()
            await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        return f"{cut} sockets were cut" if cut else None

    def _claim(self, what: str) -> bool:
        if what in self._busy:
            return False
        self._busy.add(what)
        return True

    def _two_processes(self) -> tuple[str, str]:
        roles = self._rng.choice(LINKS)
        a, b = (self._rng.choice(self._cluster.of_role(role)) if role != DATABASE else DATABASE for role in roles)
        return a, b


KINDS: dict[str, Callable[[Faults], Awaitable[str | None]]] = {
    "kill-message": lambda faults: faults.kill("message"),
    "kill-at-commit": Faults.kill_at_commit,
    "kill-gateway": lambda faults: faults.kill("gateway_ws"),
    "kill-presence": lambda faults: faults.kill("presence"),
    "kill-people": lambda faults: faults.kill("user"),
    "pause-message": lambda faults: faults.pause("message"),
    "pause-gateway": lambda faults: faults.pause("gateway_ws"),
    "pause-presence": lambda faults: faults.pause("presence"),
    "drain-gateway": lambda faults: faults.drain("gateway_ws"),
    "drain-message": lambda faults: faults.drain("message"),
    "restart-redis": Faults.restart_redis,
    "stop-redis": Faults.stop_redis,
    "restart-database": Faults.restart_database,
    "doubtful-commits": Faults.doubtful_commits,
    "slow-database": Faults.slow_database,
    "twin-gateway": Faults.twin_gateway,
    "swallow": Faults.swallow,
    "cut-link": Faults.cut_link,
    "stall-link": Faults.stall_link,
    "blink": Faults.blink,
    "cut-clients": Faults.cut_clients,
}
