"""RSA-encrypted passwords as JSEncrypt makes them: PKCS#1 v1.5, UTF-8, base64 (CONTRACT.md section 7)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from xinyu.user.errors import BadPasswordCipher, BadPasswordText

KEY_BITS = 2048
PRIVATE_NAME = "rsa_private.pem"
PUBLIC_NAME = "rsa_public.pem"
PrivateKey = rsa.RSAPrivateKey


class KeyFileError(ValueError):
    """A key file that cannot be used; the message is one line that names it."""


class PasswordOpener:
    """Decrypts what clients send. With `accept_plain`, what has not the form of a ciphertext is a plain password."""

    def __init__(self, key: rsa.RSAPrivateKey, accept_plain: bool) -> None:
        if key.key_size < KEY_BITS:
            raise KeyFileError(f"the RSA key has {key.key_size} bits; at least {KEY_BITS} are needed")
        self._key = key
        self._size = key.key_size // 8
        self._accept_plain = accept_plain

    def open(self, sent: str) -> str | None:
        """The password; None for a ciphertext that cannot be decrypted. A ciphertext in base64 is longer than any
        password, so the two are never taken for one another. Raises BadPasswordText, BadPasswordCipher by form."""
        cipher = self._cipher(sent)
        if cipher is None:
            return sent
        try:
            return self._key.decrypt(cipher, padding.PKCS1v15()).decode("utf-8")
        except ValueError:  # the padding (where OpenSSL tells at all), or not UTF-8
            return None

    def _cipher(self, sent: str) -> bytes | None:
        try:
            cipher = base64.b64decode("".join(sent.split()).encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            if self._accept_plain:
                return None
            raise BadPasswordText() from None
        if len(cipher) != self._size:
            if self._accept_plain:
                return None
            raise BadPasswordCipher()
        return cipher


def read_private_key(path: Path) -> rsa.RSAPrivateKey:
    """The key of a PEM file. Raises KeyFileError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyFileError(f"cannot read the RSA key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path} is no unencrypted private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyFileError(f"{path} is not an RSA key")
    return key


def read_or_make_key_pair(folder: Path) -> rsa.RSAPrivateKey:
    """The key pair in `folder`; made when there is none (private key: mode 0600). Concurrent first runs agree on one.
    Raises KeyFileError."""
    path = folder / PRIVATE_NAME
    if not path.exists():
        _write_new_key(path)
    key = read_private_key(path)
    _publish(folder / PUBLIC_NAME, public_pem(key).encode("ascii"))
    return key


def make_key_pair(path: Path) -> None:
    """A new key pair in one file (mode 0600). Raises KeyFileError where there is a file: what was encrypted for its
    key could be read no more."""
    if path.exists() or not _write_new_key(path):
        raise KeyFileError(f"{path} is there already; choose another name, or remove it if nobody uses its key")


def _write_new_key(path: Path) -> bool:
    """Returns False where another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _write_once(path, pem, 0o600)


def seal(key: PrivateKey, password: str) -> str:
    """What a client would send for this password (`PasswordOpener.open` undoes it)."""
    return base64.b64encode(key.public_key().encrypt(password.encode(), padding.PKCS1v15())).decode("ascii")


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """The public key for the web clients' build (VITE_RSA_PUBLIC_KEY), SubjectPublicKeyInfo in PEM."""
    encoded = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode("ascii")


def _publish(path: Path, pem: bytes) -> None:
    """The public half beside the private one, for whoever looks there; what an older key left is replaced."""
    with contextlib.suppress(OSError):
        if path.read_bytes() == pem:
            return
        path.unlink()
    _write_once(path, pem, 0o644)


def _write_once(path: Path, content: bytes, mode: int) -> bool:
    """Write a whole file under its name, or leave the one that another process wrote first. Returns whether it is
    ours."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    else:
        return True
    finally:
        draft.unlink()
