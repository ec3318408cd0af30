"""`xinyu demo`: two befriended users, a group and some messages, to try a running server with."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import msgspec
from rich.table import Table

from xinyu.app.secrets import sealed
from xinyu.app.settings import ConfigError, Settings
from xinyu.cli.options import ConfigOption, NodeOption, command_line, out, settings_of
from xinyu.cli.server import Entrance, act, entrance_of
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import derived_msg_id
from xinyu.sdk import ApiError, Client, Talk

FIRST_MOBILE = 13_800_000_001
NUMBERS_TRIED = 100
MOBILE_REGISTERED = "user.mobile_registered"
NICKNAMES = ("Ada", "Ben")
GROUP = "Tea at four"
IN_PRIVATE = ((0, "Hello Ben, this is xinyu."), (1, "Hi Ada! It works."), (0, "Then come to the group."))
IN_GROUP = ((1, "Who brings the cake?"), (0, "I do."))


class Person(msgspec.Struct):
    """A demo user as the file remembers him."""

    nickname: str
    mobile: str
    password: str


class Remembered(msgspec.Struct):
    """What `demo.json` in the data folder holds (mode 0600)."""

    people: list[Person] = []
    group_id: int = 0


def demo(config: ConfigOption = None, node: NodeOption = None) -> None:
    """Make two befriended users, a group and some messages on the running server, and print how to log in.
    Running it again reuses them and changes nothing."""
    settings = settings_of(config, node)
    entrance = entrance_of(settings)
    path = settings.data_dir / "demo.json"
    remembered = _read(path)
    tokens = asyncio.run(_furnish(settings, entrance, remembered, path))
    _tell(entrance, remembered, tokens, command_line("chat", config, node))


async def _furnish(settings: Settings, entrance: Entrance, remembered: Remembered, path: Path) -> list[str]:
    """Make what is missing; the tokens of fresh log-ins."""
    clients = [entrance.client() for _ in NICKNAMES]
    try:
        for index, client in enumerate(clients):
            await _enter(settings, client, remembered, index, path)
        first, second = [(await client.user.detail()).id for client in clients]
        await _befriend(clients[0], clients[1], first, second)
        groups = {group.group_id for group in await clients[0].groups.list()}
        if remembered.group_id not in groups:
            remembered.group_id = await clients[0].groups.create(GROUP, [second])
            _write(path, remembered)
        await _talk(clients, [Talk.user(second), Talk.user(first)], IN_PRIVATE)
        await _talk(clients, [Talk.group(remembered.group_id)] * 2, IN_GROUP)
        return [client.token or "" for client in clients]
    finally:
        for client in clients:
            await client.close()


async def _enter(settings: Settings, client: Client, remembered: Remembered, index: int, path: Path) -> None:
    """Log a demo user in, making him where he is missing. What the file remembers and does not fit the server (another
    database, a changed password) is replaced by a user with a number that is still free."""
    for _ in range(NUMBERS_TRIED):
        if index == len(remembered.people):
            taken = [int(person.mobile) for person in remembered.people]
            mobile = str(max(taken, default=FIRST_MOBILE - 1) + 1)
            remembered.people.append(Person(NICKNAMES[index], mobile, secrets.token_hex(8)))
            _write(path, remembered)  # before the account is made: a password is never lost
        person = remembered.people[index]
        try:
            await asyncio.to_thread(_create, settings, person)
            await client.login(person.mobile, person.password)
            return
        except XinyuError as error:
            if not isinstance(error, ApiError) or error.status != 400:
                raise
        remembered.people[index] = Person(person.nickname, str(int(person.mobile) + 1), secrets.token_hex(8))
        _write(path, remembered)
    raise ConfigError(f"no free mobile number for a demo user after {NUMBERS_TRIED} tries; delete {path} to start over")


def _create(settings: Settings, person: Person) -> None:
    try:
        password = sealed(settings, person.password)
        act(settings, "user-create", nickname=person.nickname, mobile=person.mobile, password=password)
    except XinyuError as error:
        if error.code != MOBILE_REGISTERED:
            raise


async def _befriend(one: Client, other: Client, one_id: int, other_id: int) -> None:
    if any(contact.user_id == other_id for contact in await one.contacts.list()):
        return
    await one.contacts.apply(other_id, "the demo")
    for application in await other.contacts.applications():
        if application.user_id == one_id:
            await other.contacts.accept(application.id)


async def _talk(clients: list[Client], talks: list[Talk], lines: tuple[tuple[int, str], ...]) -> None:
    """Say the lines, each under an id of its own that is the same every time: what was said is not said again."""
    for number, (speaker, text) in enumerate(lines):
        talk = talks[speaker]
        msg_id = derived_msg_id("xinyu demo", *talk, number)
        await clients[speaker].messages.send(talk, "text", {"text": text, "content": text}, msg_id=msg_id)


def _read(path: Path) -> Remembered:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Remembered)
    except FileNotFoundError:
        return Remembered()
    except msgspec.MsgspecError:
        raise ConfigError(f"{path} is damaged; delete it to have new demo users made") from None


def _write(path: Path, remembered: Remembered) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(remembered))
    draft.replace(path)


def _tell(entrance: Entrance, remembered: Remembered, tokens: list[str], chat: str) -> None:
    table = Table("who", "mobile", "password", box=None, header_style="bold", pad_edge=False)
    for person in remembered.people:
        table.add_row(person.nickname, person.mobile, person.password)
    out.print(table)
    for person, token in zip(remembered.people, tokens, strict=True):
        out.print(f"\n[bold]token of {person.nickname}[/]")
        out.print(token, markup=False)
    ada, ben = remembered.people
    out.print(f'\nThey are contacts and share the group "{GROUP}" (id {remembered.group_id}).', markup=False)
    out.print("[bold]Try next[/], in two terminals:")
    for person in (ada, ben):
        out.print(f"  {chat} --user {person.mobile} --password {person.password}", markup=False)
    out.print("or by REST:")
    out.print(
        f"  curl -s {entrance.base_url}/api/v1/talk/session-list -X POST -d '{{}}'"
        f" -H 'Content-Type: application/json' -H 'Authorization: Bearer {tokens[0]}'",
        markup=False,
    )
