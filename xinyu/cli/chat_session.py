"""What a user does in `xinyu chat`: commands, what comes in, what is shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from xinyu.cli.chat_text import content_of, label_of, line_of, name_of
from xinyu.cli.terminal import Terminal
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import Client, ClientClosed, Dismissed, LoginEnded, Message, Talk
from xinyu.sdk.events import Connected, ContactApplied, ContactStatus, Disconnected, Event, ReadReceipt, Typing

PAGE = 20
TYPING_SECONDS = 3.0
DIM = "dim"


class Line(NamedTuple):
    """A conversation that can be opened, by its number in the list."""

    talk: Talk
    name: str
    unread: int = 0
    preview: str = ""


class ChatSession:
    """One user at one terminal."""

    def __init__(self, client: Client, terminal: Terminal) -> None:
        self._client = client
        self._terminal = terminal
        self._lines: list[Line] = []
        self._open: Line | None = None
        self._oldest = 0
        self._own: list[Message] = []
        """Own messages of the open conversation, for /recall."""
        self._read_told = 0
        self._sent_here: set[str] = set()
        self._names: dict[int, str] = {}
        self._commands: dict[str, tuple[str, Callable[[str], Awaitable[None]]]] = {
            "/list": ("conversations, with what is unread", self.list_conversations),
            "/open": ("N or a name: open a conversation", self.open),
            "/more": ("earlier messages", self.more),
            "/read": ("mark the open conversation, or number N, as read", self.read),
            "/recall": ("take your last message back", self.recall),
            "/who": ("who is online: in the open group, else among your contacts", self.who),
            "/add": ("MOBILE: ask somebody to be a contact", self.add),
            "/accept": ("accept who asked to be a contact", self.accept),
            "/help": ("this", self.help),
        }

    @property
    def prompt(self) -> str:
        return f"{self._open.name if self._open else 'xinyu'}> "

    async def obey(self, line: str) -> None:
        """Carry out a command, or say the line. Raises XinyuError."""
        word, _, rest = line.strip().partition(" ")
        if word.startswith("/"):
            command = self._commands.get(word)
            if command is None:
                self._terminal.show(f"there is no {word}; /help lists what there is", "yellow")
            else:
                await command[1](rest.strip())
        elif line.strip():
            await self._say(line)

    async def help(self, _rest: str) -> None:
        for word, (text, _) in self._commands.items():
            self._terminal.show(f"{word:9}{text}")
        self._terminal.show(f"{'/quit':9}leave; anything else is said in the open conversation")

    async def list_conversations(self, _rest: str = "") -> None:
        await self._refresh()
        people = [line.talk.to_from_id for line in self._lines if line.talk.talk_mode == 1]
        online = await self._client.presence(people) if people else {}
        for number, line in enumerate(self._lines, 1):
            there = online.get(line.talk.to_from_id) if line.talk.talk_mode == 1 else None
            mark = "*" if there is not None and there.online else " "
            unread = f"  ({line.unread} unread)" if line.unread else ""
            preview = f"  {line.preview}" if line.preview else ""
            self._terminal.show(f"{number:3} {mark} {line.name}{unread}{preview}", "bold" if line.unread else "")
        if not self._lines:
            self._terminal.show("no conversations and no contacts yet; /add MOBILE asks somebody", DIM)

    async def open(self, rest: str) -> None:
        line = await self._named(rest)
        if line is None:
            return
        self._open, self._own, self._oldest, self._read_told = line, [], 0, 0
        self._terminal.show(f"-- {line.name} --", "bold")
        newest = await self._page(None)
        if newest:
            await self._client.read(line.talk, newest)

    async def more(self, _rest: str) -> None:
        if self._open is None or self._oldest <= 1:
            self._terminal.show("nothing earlier", DIM)
        else:
            await self._page(self._oldest)

    async def read(self, rest: str) -> None:
        line = await self._named(rest) if rest else self._open
        if line is None:
            self._terminal.show("open a conversation first, or name one: /read N", "yellow")
            return
        page = await self._client.history(line.talk, limit=1)
        left = await self._client.mark_read(page.messages[0]) if page.messages else 0
        self._terminal.show(f"{line.name}: {left} unread", DIM)

    async def recall(self, _rest: str) -> None:
        if not self._own:
            self._terminal.show("you said nothing here that could be taken back", "yellow")
            return
        message = self._own[-1]
        await self._client.recall(message.talk, message.msg_id)
        self._own.remove(message)
        self._terminal.show(f"taken back: {content_of(message)}", DIM)

    async def who(self, _rest: str) -> None:
        if self._open is not None and self._open.talk.talk_mode == 2:
            members = await self._client.groups.members(self._open.talk.to_from_id)
            people = [(member.user_id, member.remark or member.nickname) for member in members]
        else:
            contacts = await self._client.contacts.list()
            people = [(contact.user_id, contact.remark or contact.nickname) for contact in contacts]
        online = await self._client.presence([user_id for user_id, _ in people]) if people else {}
        for user_id, name in people:
            there = online.get(user_id)
            where = f"online ({', '.join(there.platforms)})" if there is not None and there.online else "offline"
            self._terminal.show(f"{name}: {where}")
        if not people:
            self._terminal.show("no contacts yet; /add MOBILE asks somebody", DIM)

    async def add(self, rest: str) -> None:
        person = await self._client.contacts.search(rest)
        await self._client.contacts.apply(person.user_id, "hello from the terminal")
        self._terminal.show(f"{person.nickname} has been asked", DIM)

    async def accept(self, _rest: str) -> None:
        for application in await self._client.contacts.applications():
            await self._client.contacts.accept(application.id)
            self._terminal.show(f"{application.nickname} is a contact now", DIM)

    async def watch_messages(self) -> None:
        """Show what comes in until the client is closed. Raises what ended it."""
        async for message in self._client.incoming():
            if not message.talk.is_self and message.msg_id not in self._sent_here:
                await self._show_incoming(message)

    async def watch_events(self) -> None:
        """Show what else happens. Ends as `watch_messages` does."""
        with contextlib.suppress(ClientClosed, LoginEnded, Dismissed):  # `watch_messages` tells
            async for event in self._client.events():
                self._show_event(event)

    async def signal_typing(self) -> None:
        """Tell the others while something is being typed."""
        before = ""
        while True:
            await asyncio.sleep(TYPING_SECONDS)
            draft = self._terminal.draft
            if draft and draft != before and not draft.startswith("/") and self._open is not None:
                with contextlib.suppress(XinyuError):
                    await self._client.typing(self._open.talk)
            before = draft

    async def _say(self, line: str) -> None:
        if self._open is None:
            self._terminal.show("open a conversation first: /list, then /open N", "yellow")
            return
        message = await self._client.send_text(self._open.talk, line)
        self._sent_here.add(message.msg_id)
        if message.accepted:
            self._own.append(message)
        else:
            self._terminal.show("not accepted: the receiver does not have you as a contact", "yellow")

    async def _show_incoming(self, message: Message) -> None:
        if self._open is not None and message.talk == self._open.talk:
            self._terminal.show(line_of(message), DIM if message.is_system else "")
            if message.own and not message.hidden:
                self._own.append(message)
            with contextlib.suppress(XinyuError):
                await self._client.mark_read(message)
            return
        if message.own or message.hidden:
            return
        with contextlib.suppress(XinyuError):
            if all(line.talk != message.talk for line in self._lines):
                await self._refresh()
        places = {line.talk: (number, line.name) for number, line in enumerate(self._lines, 1)}
        number, name = places.get(message.talk, (0, label_of(message.talk)))
        self._terminal.show(f"[{name}] {line_of(message)}" + (f"  (/open {number})" if number else ""), "cyan")

    def _show_event(self, event: Event) -> None:
        match event:
            case Typing() if self._open is not None and event.talk == self._open.talk:
                self._terminal.show(f"{self._names.get(event.from_id, 'somebody')} is typing …", DIM)
            case ReadReceipt() if self._own and event.talk == self._own[-1].talk:
                if event.user_id != self._client.uid and event.seq >= self._own[-1].seq > self._read_told:
                    self._read_told = self._own[-1].seq
                    self._terminal.show("(read)", DIM)
            case ContactStatus():
                name = self._names.get(event.user_id, f"user {event.user_id}")
                self._terminal.show(f"{name} is {'online' if event.status == 1 else 'offline'}", DIM)
            case ContactApplied():
                self._terminal.show(f"{event.nickname or 'somebody'} asks to be a contact: /accept", "cyan")
            case Connected(resumed=True):
                self._terminal.show("connected again", DIM)
            case Disconnected(will_reconnect=True):
                self._terminal.show("connection lost; reconnecting …", DIM)
            case _:
                pass

    async def _page(self, before: int | None) -> int:
        """Show a page of the open conversation; its newest seq, 0 when it is empty."""
        assert self._open is not None
        page = await self._client.history(self._open.talk, before=before, limit=PAGE)
        for message in reversed(page.messages):
            self._terminal.show(line_of(message), DIM if message.is_system or message.hidden else "")
        if before is None:
            self._own = [m for m in reversed(page.messages) if m.own and not m.hidden and not m.is_system]
        self._oldest = page.messages[-1].seq if page.messages else 0
        return page.messages[0].seq if page.messages else 0

    async def _refresh(self) -> None:
        """Read the list again: conversations, then contacts that nothing was said to yet."""
        conversations = await self._client.conversations()
        lines = [Line(item.talk, name_of(item), item.unread_num, item.msg_text or "") for item in conversations]
        known = {line.talk for line in lines}
        for contact in await self._client.contacts.list():
            name = contact.remark or contact.nickname
            self._names[contact.user_id] = name
            if Talk.user(contact.user_id) not in known:
                lines.append(Line(Talk.user(contact.user_id), name))
        self._lines = [line for line in lines if not line.talk.is_self]

    async def _named(self, text: str) -> Line | None:
        if not self._lines:
            await self._refresh()
        if text.isdecimal() and 1 <= int(text) <= len(self._lines):
            return self._lines[int(text) - 1]
        wanted = text.casefold()
        found = [line for line in self._lines if wanted and line.name.casefold().startswith(wanted)]
        if len(found) == 1:
            return found[0]
        self._terminal.show(f"which one? /list numbers them; {text!r} names {len(found)}", "yellow")
        return None
