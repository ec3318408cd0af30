"""People who talk without a pause while something goes wrong, and what must be in the log afterwards (G1 to G3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from testkit.people import Device, Page, Town, shows
from testkit.waiting import eventually
from xinyu.sdk import Message, Talk


class Talker:
    """Sends one message after the other, each until it is acked, and remembers the receipts."""

    def __init__(self, name: str, talk: Talk, by: Device | Page) -> None:
        self.name = name
        self.talk = talk
        self._by = by
        self.receipts: list[tuple[str, str, int]] = []  # (msg_id, text, seq)

    async def talk_until(self, done: asyncio.Event) -> None:
        number = 0
        while not done.is_set():
            text = f"{self.name} {number}"
            if isinstance(self._by, Page):
                record = await self._by.send_text(*self.talk, text)
                self.receipts.append((record["msg_id"], text, record["sequence"]))
            else:
                message = await self._by.client.send_text(self.talk, text)
                self.receipts.append((message.msg_id, text, message.seq))
            number += 1


async def whole_log(device: Device, talk: Talk) -> list[Message]:
    """All entries that the device's user may read, oldest first."""
    found: list[Message] = []
    while True:
        page = await device.client.history(talk, after=found[-1].seq if found else 0, limit=200)
        found += page.messages
        if not page.more:
            return found


def check_log(log: list[Message], talkers: list[Talker]) -> None:
    """Dense, and every receipt is where it said, once."""
    assert [message.seq for message in log] == list(range(1, len(log) + 1))
    by_id = {message.msg_id: message for message in log}
    assert len(by_id) == len(log)
    for talker in talkers:
        for msg_id, text, seq in talker.receipts:
            assert (by_id[msg_id].seq, by_id[msg_id].text) == (seq, text)
        own = [message.text for message in log if message.text.startswith(f"{talker.name} ")]
        assert own == [text for _, text, _ in talker.receipts], "stored that nobody was told of, or out of order"


class Chat:
    """Two SDK devices and a page of three people in one group, two of them talking."""

    def __init__(self, group: Talk, phones: Sequence[Device], page: Page) -> None:
        self.group = group
        self.phones = phones
        self.page = page
        self.talkers = [Talker(f"phone {number}", group, phone) for number, phone in enumerate(phones)]

    @property
    def acked(self) -> int:
        return sum(len(talker.receipts) for talker in self.talkers)

    async def goes_on(self, within: float, more: int = 15) -> None:
        """Every talker is acked some more, within so many seconds."""
        before = [len(talker.receipts) for talker in self.talkers]

        def all_on() -> bool:
            now = [len(talker.receipts) for talker in self.talkers]
            assert all(count >= was + more for count, was in zip(now, before, strict=True)), (before, now)
            return True

        await eventually(all_on, within)

    async def check(self, within: float) -> None:
        """Nothing acked is lost, nothing is there twice, everybody sees all of it in one order, in so many seconds."""
        log = await whole_log(self.phones[0], self.group)
        check_log(log, self.talkers)
        said = [message.text for message in log if message.text]
        for phone in self.phones:
            await shows(phone, self.group, said, within)
        await shows(self.page, self.group, said, within)


@asynccontextmanager
async def chatting(town: Town) -> AsyncIterator[Chat]:
    """Talk while the block runs; at its end everything that was acked must be everywhere."""
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    group = Talk.group(await ann.client.groups.create("Stormy", [bob.uid, cleo.uid]))
    chat = Chat(group, [await ann.device(), await bob.device()], await cleo.page())
    done = asyncio.Event()
    async with asyncio.TaskGroup() as running:
        for talker in chat.talkers:
            running.create_task(talker.talk_until(done))
        await chat.goes_on(20)
        yield chat
        done.set()
    await chat.check(10)
