"""Passwords on their way in: RSA, plain, Argon2id, the predecessor's PBKDF2."""

import asyncio
import base64
import hashlib
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from testkit.users import CHEAP, rsa_key, sealed
from xinyu.kernel.errors import Overloaded
from xinyu.user.errors import BadPassword, BadPasswordCipher, BadPasswordText
from xinyu.user.hash_queue import HashQueue
from xinyu.user.passwords_argon2 import Argon2Cost, Argon2Vault, matches_legacy
from xinyu.user.sealing import KeyFileError, PasswordOpener, public_pem, read_or_make_key_pair, read_private_key


def vault_with(accept_plain: bool, cost: Argon2Cost = CHEAP, threads: int = 1, queue: int = 10) -> Argon2Vault:
    return Argon2Vault(PasswordOpener(rsa_key(), accept_plain), cost, HashQueue(threads, queue))


@pytest.fixture
def strict() -> Iterator[Argon2Vault]:
    vault = vault_with(accept_plain=False)
    yield vault
    vault.close()


@pytest.fixture
def lenient() -> Iterator[Argon2Vault]:
    vault = vault_with(accept_plain=True)
    yield vault
    vault.close()


def legacy(password: str, rounds: int = 1000) -> str:
    salt = secrets.token_bytes(16)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return f"pbkdf2_sha256${rounds}${salt.hex()}${key.hex()}"


async def test_a_sealed_password_is_the_password(strict: Argon2Vault) -> None:
    stored = await strict.hash_new(sealed("пароль 密码"))
    assert stored.startswith("$argon2id$")
    assert (await strict.check(sealed("пароль 密码"), stored)).right
    assert not (await strict.check(sealed("another"), stored)).right


async def test_plain_and_sealed_are_one_password_where_plain_is_accepted(lenient: Argon2Vault) -> None:
    stored = await lenient.hash_new("secret-1")
    assert (await lenient.check(sealed("secret-1"), stored)).right
    assert (await lenient.check("secret-1", stored)).right


async def test_without_plain_what_is_no_ciphertext_is_refused_by_its_form(strict: Argon2Vault) -> None:
    stored = await strict.hash_new(sealed("secret-1"))
    for given in (stored, None):
        with pytest.raises(BadPasswordText):
            await strict.check("not base64!", given)
        with pytest.raises(BadPasswordCipher):
            await strict.check(base64.b64encode(b"x" * 255).decode(), given)


@pytest.mark.parametrize("accept_plain", [False, True])
async def test_a_broken_ciphertext_is_a_wrong_password_and_never_a_new_one(accept_plain: bool) -> None:
    vault = vault_with(accept_plain)
    broken = base64.b64encode(b"\x01" * 256).decode()
    stored = await vault.hash_new(sealed("secret-1"))
    assert not (await vault.check(broken, stored)).right
    assert not (await vault.check(broken, None)).right
    with pytest.raises((BadPasswordCipher, BadPassword)):
        await vault.hash_new(broken)
    vault.close()


async def test_a_ciphertext_that_is_not_text_is_a_wrong_password(strict: Argon2Vault) -> None:
    cipher = rsa_key().public_key().encrypt(b"\xff\xfe\xfd\xfc\xfb\xfa", padding.PKCS1v15())
    sent = base64.b64encode(cipher).decode()
    assert not (await strict.check(sent, await strict.hash_new(sealed("secret-1")))).right
    with pytest.raises(BadPasswordCipher):
        await strict.hash_new(sent)


@pytest.mark.parametrize(("length", "fits"), [(5, False), (6, True), (128, True), (129, False)])
async def test_length_of_new_passwords(lenient: Argon2Vault, length: int, fits: bool) -> None:
    if fits:
        assert (await lenient.check("p" * length, await lenient.hash_new("p" * length))).right
        return
    with pytest.raises(BadPassword):
        await lenient.hash_new("p" * length)


async def test_a_huge_password_is_wrong_without_being_hashed(lenient: Argon2Vault) -> None:
    assert not (await lenient.check("p" * 1_000_000, await lenient.hash_new("secret-1"))).right


async def test_the_predecessors_hash_is_verified_and_replaced(lenient: Argon2Vault) -> None:
    old = legacy("secret-1", 120_000)
    verdict = await lenient.check("secret-1", old)
    assert verdict.right and verdict.better_hash is not None
    assert verdict.better_hash.startswith("$argon2id$")
    again = await lenient.check("secret-1", verdict.better_hash)
    assert again.right and again.better_hash is None
    wrong = await lenient.check("secret-2", old)
    assert not wrong.right and wrong.better_hash is None


async def test_a_hash_with_other_costs_is_replaced(lenient: Argon2Vault) -> None:
    dearer = vault_with(True, Argon2Cost(2, 16, 1))
    verdict = await dearer.check("secret-1", await lenient.hash_new("secret-1"))
    assert verdict.right and verdict.better_hash is not None and "t=2" in verdict.better_hash
    dearer.close()


@pytest.mark.parametrize(
    "stored",
    [
        "pbkdf2_sha256$",
        "pbkdf2_sha256$x$00$00",
        "pbkdf2_sha256$1000$zz$00",
        "pbkdf2_sha256$1000$00$",
        "pbkdf2_sha256$0$00$00",
        "pbkdf2_sha256$99999999999$00$00",
        legacy("secret-1") + "$more",
    ],
)
def test_a_damaged_legacy_hash_matches_nothing(stored: str) -> None:
    assert not matches_legacy(stored, "secret-1")


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$broken"])
async def test_a_damaged_hash_matches_nothing(lenient: Argon2Vault, stored: str) -> None:
    assert not (await lenient.check("secret-1", stored)).right


async def test_hashing_is_bounded_and_a_left_caller_keeps_its_place_until_the_thread_is_free() -> None:
    gate = threading.Event()

    class SlowOpener(PasswordOpener):
        def open(self, sent: str) -> str | None:
            gate.wait(10)
            return super().open(sent)

    queue = HashQueue(threads=1, queue=1)
    vault = Argon2Vault(SlowOpener(rsa_key(), True), CHEAP, queue)
    first = asyncio.create_task(vault.hash_new("secret-1"))
    second = asyncio.create_task(vault.hash_new("secret-1"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await vault.hash_new("secret-1")
    assert refused.value.retry_after_ms
    assert [value for _, _, value in queue.readings()] == [2, 1]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert (await second).startswith("$argon2id$")
    assert (await vault.hash_new("secret-1")).startswith("$argon2id$")
    vault.close()


def test_a_key_pair_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    key = read_or_make_key_pair(folder)
    path = folder / "rsa_private.pem"
    assert key.key_size == 2048
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_key_pair(folder).private_numbers() == key.private_numbers()
    assert sorted(entry.name for entry in folder.iterdir()) == ["rsa_private.pem", "rsa_public.pem"]
    published = load_pem_public_key((folder / "rsa_public.pem").read_bytes())
    assert isinstance(published, rsa.RSAPublicKey)
    assert published.public_numbers() == key.public_key().public_numbers()
    assert public_pem(key).startswith("-----BEGIN PUBLIC KEY-----")


def test_the_public_file_follows_a_new_private_key(tmp_path: Path) -> None:
    """An operator who replaces the private key must not go on handing out the old public one."""
    read_or_make_key_pair(tmp_path)
    (tmp_path / "rsa_private.pem").unlink()
    key = read_or_make_key_pair(tmp_path)
    assert (tmp_path / "rsa_public.pem").read_text() == public_pem(key)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["rsa_private.pem", "rsa_public.pem"]


def test_bad_key_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="nowhere"):
        read_private_key(tmp_path / "nowhere.pem")
    broken = tmp_path / "broken.pem"
    broken.write_text("no key")
    with pytest.raises(KeyFileError, match="broken"):
        read_private_key(broken)


def test_a_short_key_is_refused() -> None:
    class Short:
        key_size = 1024

    with pytest.raises(KeyFileError, match="1024"):
        PasswordOpener(Short(), True)  # type: ignore[arg-type]
