"""The embedded monolith's own secrets, made on first run (mode 0600) and kept in the data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from xinyu.app.data_folder import make_data_folder
from xinyu.app.settings import AuthSettings, ConfigError, Settings
from xinyu.user.sealing import (
    KEY_BITS,
    PRIVATE_NAME,
    KeyFileError,
    PrivateKey,
    make_key_pair,
    public_pem,
    read_or_make_key_pair,
    read_private_key,
    seal,
)


def read_or_make_secret(path: Path) -> str:
    """The secret in `path`; made from the CSPRNG when there is none. Concurrent first runs agree on one.
    Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read_secret(path)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            secret = secrets.token_urlsafe(48)
            file.write(secret + "\n")
        return secret
    except OSError as error:
        raise ConfigError(f"data_dir: cannot use {path}: {error.strerror}") from error


def _read_secret(path: Path) -> str:
    secret = path.read_bytes().decode("ascii", "replace").strip()
    if len(secret) < 32 or not secret.isascii():
        raise ConfigError(f"{path} holds no usable secret; delete it to have a new one made")
    return secret


def _make_folder(folder: Path) -> None:
    try:
        make_data_folder(folder)
    except OSError as error:
        raise ConfigError(f"data_dir: cannot use {folder}: {error.strerror}") from error


def with_secrets(settings: Settings) -> Settings:
    """Settings with every secret filled in. Raises ConfigError for a cluster that names none."""
    auth = settings.auth
    if settings.embedded:
        folder = settings.data_dir / "secrets"
        _make_folder(settings.data_dir)
        auth = AuthSettings(
            jwt_secret=auth.jwt_secret or read_or_make_secret(folder / "jwt_secret"),
            jwt_issuer=auth.jwt_issuer,
            admin_secret=auth.admin_secret or read_or_make_secret(folder / "admin_secret"),
        )
    for name in ("jwt_secret", "admin_secret"):
        if len(getattr(auth, name)) < 32:
            way_out = "leave it out, and one is made" if settings.embedded else "or set embedded: true"
            raise ConfigError(f"auth.{name} must be set to at least 32 characters ({way_out})")
    return settings.model_copy(update={"auth": auth})


def private_key_path(settings: Settings) -> Path:
    """Where the RSA key of password transport is."""
    return Path(settings.user.rsa_private_key_path.replace("{data_dir}", str(settings.data_dir)))


def password_key(settings: Settings) -> PrivateKey:
    """The RSA key of password transport; an embedded process makes it. Raises ConfigError."""
    path = private_key_path(settings)
    try:
        makes_it = settings.embedded and path.name == PRIVATE_NAME
        if makes_it:
            make_data_folder(settings.data_dir)
        key = read_or_make_key_pair(path.parent) if makes_it else read_private_key(path)
    except KeyFileError as error:
        raise ConfigError(f"user.rsa_private_key_path: {error}") from error
    except OSError as error:
        raise ConfigError(f"user.rsa_private_key_path: cannot use {path.parent}: {error.strerror}") from error
    if key.key_size < KEY_BITS:
        raise ConfigError(f"user.rsa_private_key_path: {path} has {key.key_size} bits; at least {KEY_BITS} are needed")
    return key


def make_password_key(path: Path) -> None:
    """A new RSA key pair in a file of its own. Raises ConfigError, also where a file is there already."""
    try:
        make_key_pair(path)
    except KeyFileError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def public_key_pem(settings: Settings) -> str:
    """What clients encrypt passwords with. Raises ConfigError."""
    return public_pem(password_key(settings))


def sealed(settings: Settings, password: str) -> str:
    """A password as this server takes it from clients. Raises ConfigError."""
    return password if settings.user.accept_plain_passwords else seal(password_key(settings), password)
