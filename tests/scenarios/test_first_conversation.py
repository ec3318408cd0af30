"""Two people from registration on: the "Done when" of the monolith, told with two SDK devices each, and with one SDK
device and one web page each. Shows G1, G3, G4, G5, G6, and that a restart loses nothing."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from testkit.people import G4_SECONDS, TUNING, Device, Page, Person, Town, befriend, shows, write_file
from testkit.placement import SHARD
from testkit.stages import CLUSTERS
from testkit.waiting import eventually
from xinyu.sdk import ApiError, Client, Talk
from xinyu.sdk.client import Options
from xinyu.sdk.cursors import MemoryCursors
from xinyu.sdk.errors import TransferInterrupted
from xinyu.sdk.events import ReadReceipt

pytestmark = pytest.mark.scenario
SHAPES = ("monolith", *CLUSTERS)
GREETING = "我们已经是好友了，可以开始聊天了"


class Home:
    """A person with a device (`phone`) and a second one (`desk`) that is another device or a page."""

    def __init__(self, person: Person, second: str) -> None:
        self.person = person
        self.second = second
        self.cursors = MemoryCursors()
        self.token = ""

    async def arrive(self) -> None:
        """The first time, and again: both remember where they were."""
        if not self.token:
            self.token = await self.person.log_in("web")
        self.phone = await self.person.device(device_id="phone", cursors=self.cursors)
        self.desk: Device | Page
        if self.second == "page":
            self.desk = await self.person.page(self.token)
        else:
            self.desk = await self.person.device(device_id="desk", history="resume")

    async def go(self) -> None:
        await self.phone.close()
        await (self.desk.close() if isinstance(self.desk, Device) else self.desk.leave())

    async def both_show(self, talk: Talk, texts: list[str]) -> None:
        await shows(self.phone, talk, texts)
        await shows(self.desk, talk, texts)

    async def badges(self, talk: Talk) -> list[int]:
        """Unread as each device would show it."""
        listed = {line.talk: line.unread_num for line in await self.person.client.talks.list()}
        desk = await self.desk.unread(talk) if isinstance(self.desk, Device) else self.desk.badges[talk]
        return [await self.phone.unread(talk), desk, listed.get(talk, 0)]


class _Breaking(httpx.AsyncHTTPTransport):
    """A network that fails for good at the `index`-th part of an upload."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self._left = index

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/upload/multipart"):
            self._left -= 1
            if self._left < 0:
                raise httpx.ConnectError("the network is gone")
        return await super().handle_async_request(request)


@pytest.mark.parametrize("second", ["device", "page"])
async def test_two_people_and_everything_they_do_survives_a_restart(town: Town, tmp_path: Path, second: str) -> None:
    ann, bob = Home(await town.person("Ann"), second), Home(await town.person("Bob"), second)
    await meet(ann, bob)
    group = Talk.group(await ann.person.client.groups.create("The two of us", [bob.person.uid]))
    await chat(ann, bob, group)
    await recall_and_read(ann, bob)
    await bob.go()
    sent = await speak_to_nobody(ann, bob, group, tmp_path)
    await bob.arrive()
    await catch_up(ann, bob, group)
    await look_at_files(bob, sent, tmp_path)
    before = await everything(ann, bob, group)
    await town.placement.restart()
    assert await everything(ann, bob, group) == before
    await look_at_files(bob, sent, tmp_path)
    await still_chatting(ann, bob, group)


async def meet(ann: Home, bob: Home) -> None:
    """Ann finds Bob by his number, applies, and is accepted; a wrong code does not register."""
    with pytest.raises(ApiError) as refused:
        await ann.person.town.client().register("13100000001", "secret77", "Eve", "000000")
    assert refused.value.status == 400
    await ann.arrive()
    await bob.arrive()
    found = await ann.person.client.contacts.search(bob.person.mobile)
    assert found.user_id == bob.person.uid
    assert (await ann.person.client.contacts.detail(found.user_id)).relation == 1
    await befriend(ann.person, bob.person)
    await ann.both_show(bob.person.talk, [GREETING])
    await bob.both_show(ann.person.talk, [GREETING])
    assert (await ann.person.client.contacts.detail(bob.person.uid)).relation == 2


async def chat(ann: Home, bob: Home, group: Talk) -> None:
    """Both talk, privately and in the group; every device shows all of it in one order."""
    to_bob, to_ann = bob.person.talk, ann.person.talk
    await ann.phone.client.send_text(to_bob, "hello Bob")
    await shows(bob.desk, to_ann, ["hello Bob"])
    if isinstance(bob.desk, Page):
        await bob.desk.send_text(*to_ann, "hello Ann")
    else:
        await bob.desk.client.send_text(to_ann, "hello Ann")
    await ann.both_show(to_bob, ["hello Bob", "hello Ann"])
    await bob.both_show(to_ann, ["hello Bob", "hello Ann"])
    await ann.phone.client.send_text(group, "one")
    await shows(bob.phone, group, ["one"])
    await bob.phone.client.send_text(group, "two")
    for home in (ann, bob):
        await home.both_show(group, ["one", "two"])


async def recall_and_read(ann: Home, bob: Home) -> None:
    """A recalled message is gone everywhere; reading on one device clears the badge on all and tells the sender."""
    to_bob, to_ann = bob.person.talk, ann.person.talk
    slip = await ann.phone.client.send_text(to_bob, "a slip")
    await bob.both_show(to_ann, ["a slip"])
    await ann.phone.client.recall(to_bob, slip.msg_id)
    await shows(bob.phone, to_ann, ["hello Ann"])
    if isinstance(bob.desk, Page):
        page = bob.desk
        await eventually(lambda: [r for r in page.shown[to_ann] if r.get("is_revoked") == 1])
    [again] = [m for m in await bob.person.client.messages.records(to_ann) if m.msg_id == slip.msg_id]
    assert again.is_revoked and not again.text
    assert await bob.phone.unread(to_ann) > 0
    last = bob.phone.of(to_ann)[-1]
    assert await bob.phone.client.mark_read(last) == 0
    assert await bob.phone.unread(to_ann) == 0
    await eventually(lambda: [e for e in ann.phone.told(ReadReceipt) if e.user_id == bob.person.uid])
    if isinstance(bob.desk, Page):
        page = bob.desk
        await eventually(lambda: [p for p in page.events("im.message.read") if p["user_id"] == bob.person.uid])
        await page.open(*to_ann)
        assert page.badges[to_ann] == 0
    else:
        assert await bob.desk.unread(to_ann) == 0


async def speak_to_nobody(ann: Home, bob: Home, group: Talk, folder: Path) -> dict[str, object]:
    """While Bob is away: texts, an image, and a file whose upload breaks and is taken up again."""
    to_bob = bob.person.talk
    for number in range(5):
        await ann.phone.client.send_text(to_bob, f"private {number}")
        await ann.phone.client.send_text(group, f"group {number}")
    picture = folder / "cat.png"
    buffer = io.BytesIO()
    Image.effect_noise((150, 100), 60).save(buffer, "PNG")
    picture.write_bytes(buffer.getvalue())
    image = await ann.phone.client.send_image(to_bob, picture, width=150, height=100)
    film = write_file(folder / "film.bin", 3 * SHARD + 1000)
    async with httpx.AsyncClient(transport=_Breaking(2), timeout=10) as http:
        broken = Client(
            ann.person.town.placement.http, ann.phone.client.token, options=Options(http=http, tuning=TUNING)
        )
        with pytest.raises(TransferInterrupted) as interrupted:
            await broken.media.upload(film)
    steps: list[int] = []
    upload_id = str(interrupted.value.details["upload_id"])
    stored = await ann.phone.client.media.upload(
        film, upload_id=upload_id, progress=lambda done, _total: steps.append(done)
    )
    assert steps[0] == 2 * SHARD  # the two parts that had arrived were not sent again
    file = await ann.phone.client.send_file(group, stored.upload_id)
    return {"image": image, "picture": picture.read_bytes(), "file": file, "film": film.read_bytes()}


async def catch_up(ann: Home, bob: Home, group: Talk) -> None:
    """G5: what was missed is there, in order, on both; unread is right (5 texts + image, 5 texts + file)."""
    to_ann = ann.person.talk
    await bob.both_show(to_ann, [f"private {number}" for number in range(5)])
    await bob.both_show(group, [f"group {number}" for number in range(5)])
    group_unread = 1 + 5 + 1  # "one" was not read, own "two" does not count

    async def right() -> bool:
        assert await bob.badges(to_ann) == [6, 6, 6]
        assert await bob.badges(group) == [group_unread] * 3
        return True

    await eventually(right, G4_SECONDS)


async def look_at_files(bob: Home, sent: dict[str, object], folder: Path) -> None:
    """The same bytes come back; the file message says what it holds."""
    [image] = [m for m in bob.phone.seen if m.msg_type == 3]
    [file] = [m for m in bob.phone.seen if m.msg_type == 6]
    target = await bob.person.client.media.download(str(image.extra["url"]), folder / "cat-copy.png")
    assert target.read_bytes() == sent["picture"]
    assert (file.extra["name"], file.extra["size"]) == ("film.bin", 3 * SHARD + 1000)
    copy = await bob.person.client.media.download_file(file.talk, file.msg_id, folder / "film-copy.bin")
    assert copy.read_bytes() == sent["film"]
    copy.unlink()


async def everything(ann: Home, bob: Home, group: Talk) -> list[object]:
    """What the server says of both: lists, histories, contacts, the group. Repeats over a reconnect."""
    found: list[object] = []
    for home, peer in ((ann, bob), (bob, ann)):
        client = home.phone.client
        found.append(sorted(await client.conversations(), key=lambda line: line.id))
        found += [(await client.history(talk, limit=200)).messages for talk in (peer.person.talk, group)]
        rest = home.person.client
        found += [await rest.contacts.list(), await rest.groups.members(group.to_from_id), await rest.user.detail()]
    return found


async def still_chatting(ann: Home, bob: Home, group: Talk) -> None:
    """The same log-ins go on; nothing that was shown is shown again (checked by the town)."""
    await ann.phone.client.send_text(bob.person.talk, "still here?")
    await bob.both_show(ann.person.talk, ["still here?"])
    await bob.phone.client.send_text(group, "of course")
    await ann.both_show(group, ["of course"])
