"""The story of docs/tutorial.md: `python docs/tutorial_story.py first`, restart the server, then `… second`."""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from xinyu.sdk import ApiError, Client, FileCursors, Message, Talk

BASE = os.environ.get("BASE", "http://127.0.0.1:8080")
ANA = ("13900000001", "apple-tree", "Ana")
BO = ("13900000002", "pear-tree", "Bo")


async def device(person: tuple[str, str, str], device_id: str, folder: Path) -> Client:
    """A connected device. A file remembers how far it has seen each conversation."""
    mobile, password, nickname = person
    client = Client(BASE, device_id=device_id, cursors=FileCursors(folder / f"{device_id}.json"))
    try:
        await client.login(mobile, password)
    except ApiError:  # the first time there is no account yet
        code = await client.user.send_sms(mobile, "register")
        await client.register(mobile, password, nickname, code)
    await client.connect()
    return client


async def befriend(ana: Client, bo: Client) -> None:
    if any(contact.user_id == bo.uid for contact in await ana.contacts.list()):
        return
    await ana.contacts.apply(bo.uid, "it is me, Ana")
    for application in await bo.contacts.applications():
        if application.user_id == ana.uid:
            await bo.contacts.accept(application.id)


async def until(client: Client, msg_id: str) -> list[Message]:
    """What arrives at a device up to a message, in order."""
    seen: list[Message] = []
    async for message in client.incoming():
        seen.append(message)
        if message.msg_id == msg_id:
            return seen
    return seen


def said(messages: list[Message]) -> list[str]:
    return [message.text for message in messages if message.text]


async def unread(client: Client, talk: Talk) -> int:
    return sum(item.unread_num for item in await client.conversations() if item.talk == talk)


async def private_talk(phone: Client, laptop: Client, bo_phone: Client, bo_laptop: Client) -> None:
    """Ana writes on her phone: her laptop and both of Bo's devices get it."""
    to_bo = Talk.user(bo_phone.uid)
    hello = await phone.send_text(to_bo, "hello Bo")
    for other in (laptop, bo_phone, bo_laptop):
        print("private:", said(await until(other, hello.msg_id))[-1])

    print("unread before:", await unread(bo_laptop, Talk.user(phone.uid)))
    await bo_phone.read(Talk.user(phone.uid), hello.seq)
    print("unread after:", await unread(bo_laptop, Talk.user(phone.uid)))

    slip = await phone.send_text(to_bo, "this was for somebody else")
    await until(bo_phone, slip.msg_id)
    await phone.recall(to_bo, slip.msg_id)
    page = await bo_phone.history(Talk.user(phone.uid), limit=2)
    print("recalled:", [message.is_revoked for message in page.messages if message.msg_id == slip.msg_id])


async def group_talk(phone: Client, bo_phone: Client, bo_laptop: Client) -> Talk:
    """A group of both; everything that is said in it has one order for everybody."""
    talk = Talk.group(await phone.groups.create("garden", [bo_phone.uid]))
    await phone.send_text(talk, "welcome to the garden")
    answer = await bo_phone.send_text(talk, "what a nice place")
    for client in (phone, bo_laptop):
        print("group:", [m.text for m in await until(client, answer.msg_id) if m.talk == talk and m.text])
    return talk


async def while_away(phone: Client, bo_laptop: Client, talk: Talk, folder: Path) -> None:
    """Bo shuts his laptop; what he misses is there, in order, when he opens it again."""
    await bo_laptop.close()
    for text in ("one", "two", "three"):
        last = await phone.send_text(talk, text)
    bo_laptop = await device(BO, "bo-laptop", folder)
    print("missed:", said(await until(bo_laptop, last.msg_id)))
    await bo_laptop.close()


async def files(phone: Client, bo_phone: Client, folder: Path) -> None:
    """An image, and a file that goes up in parts and comes down again."""
    (folder / "leaf.png").write_bytes(png(16, 16, (40, 160, 60)))
    image = await phone.send_image(Talk.user(bo_phone.uid), folder / "leaf.png", width=16, height=16)
    (folder / "seeds.bin").write_bytes(os.urandom(6 * 1024 * 1024))
    stored = await phone.media.upload(folder / "seeds.bin")
    sent = await phone.send_file(Talk.user(bo_phone.uid), stored.upload_id)
    arrived = await until(bo_phone, sent.msg_id)
    copy = await bo_phone.media.download_file(arrived[-1].talk, sent.msg_id, folder / "copy.bin")
    print("image:", image.extra["url"].startswith("/media/"))
    print("file:", arrived[-1].extra["name"], copy.read_bytes() == (folder / "seeds.bin").read_bytes())


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\x00" + bytes(colour) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def first(folder: Path) -> None:
    """The first day."""
    phone, laptop = await device(ANA, "ana-phone", folder), await device(ANA, "ana-laptop", folder)
    bo_phone, bo_laptop = await device(BO, "bo-phone", folder), await device(BO, "bo-laptop", folder)
    await befriend(phone, bo_phone)
    await private_talk(phone, laptop, bo_phone, bo_laptop)
    talk = await group_talk(phone, bo_phone, bo_laptop)
    await while_away(phone, bo_laptop, talk, folder)
    await files(phone, bo_phone, folder)
    for client in (phone, laptop, bo_phone):
        await client.close()


async def second(folder: Path) -> None:
    """After the restart: accounts, conversations, the log and its order are as they were."""
    phone = await device(ANA, "ana-phone", folder)
    for conversation in await phone.conversations():
        page = await phone.history(conversation.talk, limit=200)
        dense = [m.seq for m in page.messages] == list(range(conversation.last_seq, 0, -1))
        print(conversation.name, "dense:", dense, "last said:", said(page.messages)[0])
    await phone.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(second(Path(name)) if sys.argv[1:] == ["second"] else first(Path(name)))
