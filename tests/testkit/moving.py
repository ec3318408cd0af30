"""Data to move: a monolith in this process with people who used everything, and what they see of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from testkit.media import picture
from testkit.people import PASSWORD, Person, Town, write_file
from testkit.placement import QUICK, Placement, merged
from xinyu.app.moving.watcher import Watcher
from xinyu.app.settings import Settings
from xinyu.app.supervisor import Process, run_process
from xinyu.sdk import Client, Talk
from xinyu.sdk.api.people import ContactGroup

SHARD = 4096
TEXTS = (
    "hello",
    "naïve 你好",
    "😀👩‍👩‍👧 and a flag 🇨🇭",
    "line\nbreak\ttab \"quotes\" 'n' \\ % ; --",
    " spaces around ",
    "é vs é",
)


class Silent(Watcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []
        self.warnings: list[str] = []
        self.done = 0

    def begin(self, step: str, total: int) -> None:
        self.steps.append((step, total))

    def advance(self, count: int) -> None:
        self.done += count

    def end(self) -> None:
        return

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def close(self) -> None:
        return


def settings_of(folder: Path, storage: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A monolith's configuration: its data in `folder`, its databases as `storage` says."""
    own = {
        "embedded": True, "data_dir": str(folder), "admin_port": 0, "storage": dict(storage or {}),
        "gateway": {"http_port": 0, "ws_port": 0, "drain_seconds": 0}, "media": {"shard_bytes": SHARD},
        "user": {"accept_plain_passwords": True, "codes_in_response": True},
    }  # fmt: skip
    return merged({name: part for name, part in QUICK.items() if name != "log"}, own)


class _Here:
    """The addresses of a process, as `Town` wants them."""

    tells_codes = True

    def __init__(self, process: Process) -> None:
        self.http = process.url("http")
        self.ws = f"{process.url('ws')}/wss/default.io"
        self.ws_urls = [self.ws]


@asynccontextmanager
async def running(settings: Mapping[str, Any]) -> AsyncIterator[Town]:
    """The monolith, and its people."""
    process = await run_process(Settings(**settings))
    try:
        async with Town(cast(Placement, _Here(process))) as town:
            yield town
    finally:
        hurry = asyncio.Event()
        hurry.set()
        await process.stop(hurry)


class Life:
    """Three people and what is between them."""

    def __init__(self, mobiles: list[str], group_id: int, files: list[str], folder: Path) -> None:
        """`files` are addresses, `folder` a place of our own."""
        self.mobiles = mobiles
        self.group_id = group_id
        self.files = files
        self._folder = folder

    @property
    def talk(self) -> Talk:
        return Talk.group(self.group_id)

    async def again(self, town: Town) -> list[Client]:
        """The people, logged in once more."""
        clients = [town.client() for _ in self.mobiles]
        for client, mobile in zip(clients, self.mobiles, strict=True):
            await client.login(mobile, PASSWORD)
        return clients

    async def seen(self, town: Town) -> list[Any]:
        """Everything that they see."""
        return [await self._seen_by(client) for client in await self.again(town)]

    async def _seen_by(self, client: Client) -> Any:
        talks = await client.talks.list()
        seen: dict[str, Any] = {
            "profile": await client.user.detail(),
            "settings": await client.user.settings(),
            "contacts": await client.contacts.list(),
            "contact groups": await client.contacts.groups(),
            "applications": await client.contacts.applications(),
            "groups": await client.groups.list(),
            "members": await client.groups.members(self.group_id),
            "talks": talks,
            "history": [await client.messages.records(line.talk, limit=100) for line in talks],
            "sync": await client.messages.sync(),
            "files": [await self._file(client, url) for url in self.files],
        }  # fmt: skip
        return msgspec.to_builtins(seen)

    async def _file(self, client: Client, url: str) -> str:
        target = self._folder / "download"
        await client.media.download(url, target)
        content = target.read_bytes()
        target.unlink()
        return content.hex()


async def lived(town: Town, folder: Path) -> Life:
    """Make people use everything; `folder` must be there."""
    ana, bo, cid = await town.people("Ana", "Bo 😀", "Çid")
    cat = folder / "cat.png"
    cat.write_bytes(picture())
    image = await ana.client.media.upload_image(cat)
    upload = await ana.client.media.upload(write_file(folder / "große Datei.bin", 3 * SHARD + 7))
    group = await ana.client.groups.create("Tea at four ☕", [bo.uid, cid.uid])
    for number, text in enumerate(TEXTS * 3):
        speaker, other = (ana, bo) if number % 2 else (bo, ana)
        await speaker.client.messages.send(other.talk, "text", {"text": text, "content": text})
        await (bo, cid)[number % 2].client.messages.send(Talk.group(group), "text", {"text": text, "content": text})
    await ana.client.messages.send(Talk.group(group), "file", {"upload_id": upload.upload_id})
    await _more(ana, bo, cid, group)
    return Life([person.mobile for person in (ana, bo, cid)], group, [image.src], folder)


async def _more(ana: Person, bo: Person, cid: Person, group: int) -> None:
    """What is rarer: recalled, hidden, pinned, read, remarks, groups of contacts, an application that waits."""
    last = (await bo.client.messages.records(ana.talk))[0]
    sent = await bo.client.messages.send(ana.talk, "text", {"text": "oops", "content": "oops"})
    await bo.client.messages.recall(ana.talk, sent.msg_id)
    await ana.client.messages.delete(bo.talk, [last.msg_id])
    await ana.client.talks.pin(Talk.group(group))
    await cid.client.talks.clear_unread(Talk.group(group))
    await ana.client.contacts.edit_remark(bo.uid, "Bobby ❤")
    await ana.client.contacts.save_groups([ContactGroup(id=0, name="家人"), ContactGroup(id=0, name="to go")])
    kept = [line for line in await ana.client.contacts.groups() if line.name == "家人"]
    await ana.client.contacts.save_groups(kept)
    await ana.client.contacts.change_group(bo.uid, kept[0].id)
    await cid.client.contacts.apply(bo.uid, "we met at tea")
