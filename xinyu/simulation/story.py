"""What happens in every run: people connect and talk, things go wrong, all comes to rest and is written down."""

from __future__ import annotations

import asyncio
import random

from xinyu.drill.history import G4_SECONDS, Acked, Fault, History, Online, Seen, Stored, Watch
from xinyu.kernel.ids import ConversationId
from xinyu.simulation.cluster import Cluster
from xinyu.simulation.faults import Device, Faults
from xinyu.simulation.moves import Moves
from xinyu.simulation.page import Page
from xinyu.simulation.phone import Phone, shuffled
from xinyu.simulation.plan import Plan
from xinyu.simulation.rooms import HALL, ROOM, Rooms
from xinyu.simulation.scene import Scene
from xinyu.simulation.trace import Trace

PRIVATE = 0.4
"""So many of its messages a device says to one person alone."""
REPEATED, FORGED, READ = 0.1, 0.05, 0.15
"""After so many of its messages a device sends the same again, or another by its id, or marks what it shows as read."""
PATIENCE_SECONDS = 16.0
"""After the last fault; beyond the longest bound, so that what is late is told from what is lost."""
LOOK_SECONDS = 0.25
REST_SECONDS = 1.0
"""In which what comes twice would come again."""


class Story:
    """One run. `history` is what came of it."""

    def __init__(
        self, cluster: Cluster, start: Scene, plan: Plan, rng: random.Random, trace: Trace | None = None
    ) -> None:
        self.history = History()
        self.failures: list[str] = []
        """What no history can say."""
        self._cluster = cluster
        self._scene = start
        self._plan = plan
        self._rng = rng
        self._trace = trace
        self._loop = cluster.around.loop
        self._heads = {ROOM: start.room.head, **{pair.name: pair.head for pair in start.pairs}}
        self._rooms = Rooms(start.talks(), self._loop, cluster.doors, self.history)
        self._phones: list[Phone] = []
        self._pages: list[Page] = []
        self._devices: list[Device] = []
        self._guests = list(start.guests)
        self._readers: set[tuple[int, str]] = set()

    async def play(self) -> None:
        """From the beginning to the end."""
        self._note("the cluster starts")
        await self._cluster.start()
        await self._gather()
        self._note("everybody is connected")
        faults = Faults(self._cluster, self._devices, self._guest, random.Random(self._rng.getrandbits(64)))
        moves = Moves(self._pages[0], self._pages[-1], self._scene.hall.group_id, self._rng)
        async with asyncio.TaskGroup() as group:
            for device in self._devices:
                group.create_task(self._talk(device))
            for when, name in self._plan.faults:
                group.create_task(self._break(faults, name, when))
            if self._plan.has_moves:
                group.create_task(moves.run())
        self._note("everything was said and broken")
        if self._plan.last:
            await self._break(faults, self._plan.last, G4_SECONDS)
        await self._settle()
        await self._write_down(ROOM, self._scene.room.conversation_id)
        for pair in self._scene.pairs:
            await self._write_down(pair.name, pair.conversation_id)
        if self._plan.has_moves:
            await self._try_hall(moves)
        await self._write_down_ends()
        self.failures += moves.failures
        self.failures += [f"{phone.name}: {what}" for phone in self._phones for what in phone.violations]

    def end(self) -> None:
        """Give back what the cluster was made of."""
        self._cluster.around.containers.take_back()

    def _note(self, what: str) -> None:
        if self._trace is not None:
            self._trace.note(self._loop.time(), what)

    async def _gather(self) -> None:
        gateways = self._cluster.of_role("gateway_ws")
        for number, person in enumerate(self._scene.people):
            doors = [shuffled(gateways, self._rng) for _ in range(2)]
            phone = Phone(f"phone-{number}", person.uid, person.phone_token, self._rooms, doors[0])
            page = Page(f"page-{number}", person.uid, person.page_token, self._rooms, doors[1])
            self._phones.append(phone)
            self._pages.append(page)
            self._devices += [phone, page]
        await asyncio.gather(*(device.place.spawn(device.connect()) for device in self._devices))
        for device in self._devices:
            for where in device.places:
                self.history.add(Watch(device.name, device.uid, where, self._heads[where]))

    def _guest(self, gateways: list[str]) -> Page:
        person = self._guests.pop(0) if len(self._guests) > 1 else self._guests[0]
        return Page(f"guest {person.uid}", person.uid, person.page_token, self._rooms, shuffled(gateways, self._rng))

    async def _talk(self, device: Device) -> None:
        rng = self._rng
        times = sorted(rng.uniform(0, self._plan.chat_seconds) for _ in range(rng.randint(1, self._plan.messages)))
        begin = self._loop.time()
        for time in times:
            await asyncio.sleep(max(0.0, begin + time - self._loop.time()))
            where = self._somewhere(device)
            msg_id = await device.place.spawn(device.say(where))
            if isinstance(device, Phone):
                if rng.random() < READ:
                    self._readers.add((device.uid, where))
                    await device.place.spawn(device.read(where))
            elif msg_id and rng.random() < REPEATED:
                await device.place.spawn(device.repeat(where, msg_id))
            elif msg_id and rng.random() < FORGED:
                await device.place.spawn(device.forge(where, msg_id))

    def _somewhere(self, device: Device) -> str:
        """Where a device says its next message."""
        room, *private = device.places
        return self._rng.choice(private) if self._rng.random() < PRIVATE else room

    async def _break(self, faults: Faults, name: str, when: float) -> None:
        await asyncio.sleep(when)
        self._note(f"{name} …")
        fault = await faults.inject(name)
        if fault is not None:
            self.history.add(fault)
            self._note(f"… {name}: {fault.proof}")

    async def _settle(self) -> None:
        """Until everybody has seen what was acked, or nobody can be expected to wait any longer."""
        ends = [fault.ended for fault in self.history.of(Fault)]
        deadline = max([*ends, self._loop.time()]) + PATIENCE_SECONDS
        while self._missing() and self._loop.time() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
        calm = max([*(end + G4_SECONDS for end in ends), self._loop.time() + REST_SECONDS])
        await asyncio.sleep(calm - self._loop.time())

    def _missing(self) -> bool:
        has: dict[str, set[str]] = {device.name: set() for device in self._devices}
        for seen in self.history.of(Seen):
            has[seen.device].add(seen.msg_id)
        wanted: dict[str, set[str]] = {}
        for ack in self.history.of(Acked):
            has[ack.device].add(ack.msg_id)
            wanted.setdefault(ack.conversation, set()).add(ack.msg_id)
        return any(not wanted.get(watch.conversation, set()) <= has[watch.device] for watch in self.history.of(Watch))

    async def _try_hall(self, moves: Moves) -> None:
        """Whoever is let speak last of all may speak, and everybody hears it."""
        await moves.end()
        hall = self._scene.hall
        log = self._cluster.lives["talk-1"].container.log_store()
        head = len(await log.read_range(hall.conversation_id, 1, 5000))
        self._rooms.hall_after = head
        for device in self._devices:
            self.history.add(Watch(device.name, device.uid, HALL, head))
        speaker = self._phones[-1]
        if not await speaker.place.spawn(speaker.say(HALL)):
            self.failures.append(f"{speaker.name} was let speak, and may not")
        await self._settle()
        await self._write_down(HALL, hall.conversation_id)

    async def _write_down(self, where: str, conversation_id: ConversationId) -> None:
        log = self._cluster.lives["talk-1"].container.log_store()
        for entry in await log.read_range(conversation_id, 1, 5000):
            self.history.add(Stored(where, entry.seq, entry.msg_id, entry.sender_id, entry.type < 1000))

    async def _write_down_ends(self) -> None:
        for phone in self._phones:
            for line in await phone.place.spawn(phone.unread(phone.places)):
                self.history.add(line)
        for page in self._pages:
            heads = {where: self._heads[where] for where in page.places}
            listed = {where for where in heads if (page.uid, where) in self._readers}
            for line in await page.place.spawn(page.unread(heads, listed)):
                self.history.add(line)
        uids = [phone.uid for phone in self._phones]
        visitor = self._scene.guests[0].uid
        shown = await self._phones[0].place.spawn(self._phones[0].online([*uids, visitor]))
        for uid in uids:
            self.history.add(Online(uid, shown[uid], True))
        if self._plan.has_visitor:
            self.history.add(Online(visitor, shown[visitor], False))
