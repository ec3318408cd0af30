"""The place for the access matrix: one person of each kind, and for each row of the table fresh things to get at."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from testkit.media import picture
from testkit.sockets import MemorySocket, SocketWorld
from xinyu.contact.types import ContactGroupDraft, ContactGroupId
from xinyu.gateway.routes import ROUTES
from xinyu.kernel.ids import ConversationId, GroupId, MsgId, UserId, new_msg_id
from xinyu.message.types import EntryType, NewMessage, group_ref

INSIDE = ("owner", "admin", "member")
OUTSIDE = ("ex_member", "stranger", "blocked")
KINDS = (*INSIDE, *OUTSIDE)
"""`ex_member` was removed from the group and from the owner's contacts; `blocked` is one whom the owner blocks."""
LOCKED_OUT = ("disabled", "anonymous")
"""`disabled` is a member of the group whose token was good; `anonymous` has none."""
TABLES_THAT_MOVE = ("message_outbox",)
"""Bookkeeping of the server's own, which empties by itself."""

NOBODY, NO_GROUP, NO_TALK, NO_MSG = UserId(0), GroupId(0), ConversationId(0), MsgId("")


@dataclass
class Scene:
    """The owner's things. What carries `secret` in its text is not for everybody."""

    people: dict[str, UserId]
    number: int
    other: UserId
    """One more member of the group."""
    friend: UserId = NOBODY
    """A contact of the owner's alone."""
    applicant: UserId = NOBODY
    """Applied to the owner and to the group."""
    mobile: str = ""
    group_id: GroupId = NO_GROUP
    group_talk: ConversationId = NO_TALK
    private_talk: ConversationId = NO_TALK
    old_msg: MsgId = NO_MSG
    """The ex-member was there when it was sent."""
    group_msg: MsgId = NO_MSG
    private_msg: MsgId = NO_MSG
    file_msg: MsgId = NO_MSG
    contact_application: int = 0
    group_application: int = 0
    folder: int = 0
    emoticon: int = 0
    file_upload: str = ""
    open_upload: str = ""
    image_url: str = ""
    image: bytes = field(default_factory=picture)

    @property
    def remark(self) -> str:
        """The owner's name for the friend."""
        return f"secret-remark-{self.number}"

    def contact_of(self, kind: str) -> UserId:
        """Somebody whom the caller has as a contact."""
        return self.friend if kind == "owner" else self.people["owner"]

    def secrets_from(self, kind: str) -> list[str]:
        """What this kind of caller must never read."""
        if kind == "owner":
            return []
        n = self.number
        secrets = [f"secret-private-{n}", self.remark, f"secret-folder-{n}", f"secret-wish-{n}", self.mobile]
        if kind not in ("admin", "owner"):
            secrets.append(f"secret-plea-{n}")
        if kind not in INSIDE:
            secrets += [f"secret-later-{n}", "plans.txt"]
        if kind not in (*INSIDE, "ex_member"):
            secrets += [f"secret-group-{n}", f"secret-old-{n}"]
        return secrets


class AccessWorld:
    """People who are asked for, over REST and on sockets."""

    def __init__(self, world: SocketWorld, folder: Path, http: httpx.AsyncClient) -> None:
        self.world = world
        self._folder = folder
        self._http = http
        self._people: dict[str, UserId] = {}
        self._tokens: dict[str, str] = {}
        self._sockets: dict[str, MemorySocket] = {}
        self._numbers = itertools.count(1)
        self._file_upload = self._open_upload = self._image_url = ""

    async def settle(self) -> None:
        """Make the people and what lasts for all scenes."""
        for kind in (*KINDS, "other", "disabled"):
            self._people[kind] = await self.world.user(kind)
            self._tokens[kind] = await self.world.token(self._people[kind])
        for kind in ("admin", "member", "ex_member", "blocked", "disabled", "other"):
            await self._befriend(self._people["owner"], self._people[kind])
        owner, contacts = self._people["owner"], self.world.ports.contacts
        await contacts.delete(owner, self._people["ex_member"])
        await contacts.set_blocked(owner, self._people["blocked"], True)
        await self.world.ports.accounts.set_disabled(self._people["disabled"], True)
        self._file_upload = await self._upload()
        self._open_upload = (await self.world.ports.uploads.open_upload(owner, "unfinished", 10)).upload_id
        emoticon = await self._owners("emoticon/customize/upload", files={"file": ("x.png", picture())})
        self._image_url = emoticon["url"]
        for kind in KINDS:
            self._sockets[kind] = await self.world.page(self._tokens[kind])

    async def scene(self) -> Scene:
        """New things of the owner's."""
        ports, people, n = self.world.ports, self._people, next(self._numbers)
        owner, other = people["owner"], people["other"]
        scene = Scene(people, n, other, file_upload=self._file_upload, open_upload=self._open_upload,
                      image_url=self._image_url, image=picture(size=(8 + n, 6)))  # fmt: skip
        scene.friend, scene.applicant = [await self.world.user(f"{name}{n}") for name in ("friend", "applicant")]
        scene.mobile = (await ports.profiles.list_profiles([scene.friend]))[0].mobile
        await self._befriend(owner, scene.friend)
        await ports.contacts.edit_remark(owner, scene.friend, scene.remark)
        members = [people[kind] for kind in ("admin", "member", "ex_member", "disabled")]
        scene.group_id = await ports.groups.create(owner, f"secret-group-{n}", [*members, other])
        await ports.group_members.set_admin(owner, scene.group_id, people["admin"], True)
        group = group_ref(scene.group_id)
        scene.old_msg = (await self.world.say(owner, scene.group_id, f"secret-old-{n}")).entry.msg_id
        await ports.group_members.remove(owner, scene.group_id, [people["ex_member"]])
        scene.group_msg = (await self.world.say(owner, scene.group_id, f"secret-later-{n}")).entry.msg_id
        private = (await self.world.send(owner, scene.friend, f"secret-private-{n}")).entry
        scene.private_msg, scene.private_talk = private.msg_id, private.conversation_id
        draft = NewMessage(group, new_msg_id(), EntryType.FILE, {"upload_id": scene.file_upload})
        sent = (await ports.messages.send(owner, draft)).entry
        scene.file_msg, scene.group_talk = sent.msg_id, sent.conversation_id
        await self._applications(scene)
        folders = [ContactGroupDraft(ContactGroupId(0), f"secret-folder-{n}", 1)]
        await ports.contact_groups.save_groups(owner, folders)
        kept = await self._owners("emoticon/customize/create", json={"url": self._image_url})
        scene.emoticon = kept["emoticon_id"]
        scene.folder = (await ports.contact_groups.list_groups(owner))[0].group_id
        return scene

    async def ask(self, kind: str, path: str, body: dict[str, Any], get: bool = False) -> httpx.Response:
        """A JSON request; with a log-in of its own where the request ends it."""
        headers = await self._headers(kind, path)
        if get:
            return await self._http.get(path, params=body, headers=headers)
        return await self._http.post(path, json=body, headers=headers)

    async def ask_form(self, kind: str, path: str, fields: dict[str, str], file: bytes) -> httpx.Response:
        """A form with a file."""
        headers = await self._headers(kind, path)
        return await self._http.post(path, data=fields, files={"file": ("x.png", file)}, headers=headers)

    async def ask_socket(self, kind: str, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A request on the caller's socket: the answer's frame."""
        return await self._sockets[kind].ask(event, payload)

    async def locked_out(self, kind: str) -> MemorySocket:
        """The socket of somebody who gets none."""
        socket = self.world.dial(self._tokens.get(kind, ""), sync="1")
        await socket.closed()
        return socket

    async def state(self) -> object:
        """All that the server has stored and pushed."""
        await self.world.quiet()
        stored = {}
        for path in sorted(self._folder.rglob("*.db")):
            with closing(sqlite3.connect(path)) as database:
                named = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                for (table,) in named.fetchall():
                    if table not in TABLES_THAT_MOVE:
                        stored[path.name, table] = database.execute(f"SELECT * FROM {table}").fetchall()
        assert stored
        pushed = {
            kind: [frame for frame in socket.frames if frame["event"] not in ("reply", "error", "pong")]
            for kind, socket in self._sockets.items()
        }
        return stored, pushed

    async def _headers(self, kind: str, path: str) -> dict[str, str]:
        token = self._tokens.get(kind, "")
        if path.endswith("auth/logout") and kind in KINDS:
            token = await self.world.token(self._people[kind])
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _befriend(self, one: UserId, other: UserId) -> None:
        applications = self.world.ports.contact_applications
        await applications.apply(other, one, "hello")
        [application] = [a for a in await applications.list_pending(one) if a.applicant_id == other]
        await applications.accept(one, application.application_id, "")

    async def _applications(self, scene: Scene) -> None:
        ports, owner = self.world.ports, scene.people["owner"]
        await ports.contact_applications.apply(scene.applicant, owner, f"secret-wish-{scene.number}")
        pending = await ports.contact_applications.list_pending(owner)
        scene.contact_application = next(a.application_id for a in pending if a.applicant_id == scene.applicant)
        await ports.group_applications.apply(scene.applicant, scene.group_id, f"secret-plea-{scene.number}")
        [application] = await ports.group_applications.list_pending(owner, scene.group_id)
        scene.group_application = application.application_id

    async def _upload(self) -> str:
        opened = await self._owners("upload/init-multipart", json={"file_name": "plans.txt", "file_size": 10})
        fields = {"upload_id": opened["upload_id"], "split_index": "1", "split_num": "1"}
        await self._owners("upload/multipart", data=fields, files={"file": ("x", b"0123456789")})
        return str(opened["upload_id"])

    async def _owners(self, path: str, **request: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._tokens['owner']}"}
        answer = await self._http.post(f"/api/v1/{path}", headers=headers, **request)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def application_of(world: SocketWorld) -> Any:
    """The REST application of a process, as ASGI."""
    return world.process.container.rest().build(ROUTES)
