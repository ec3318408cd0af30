"""The embedded monolith's own secrets, made on first run (mode 0600) and kept in the data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from xinyu.app.settings import AuthSettings, ConfigError, Settings


def read_or_make_secret(path: Path) -> str:
    """The secret in `path`; made from the CSPRNG when there is none. Concurrent first runs agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_text(encoding="ascii").strip()
        if len(secret) < 32:
            raise ConfigError(f"{path} holds no usable secret; delete it to have a new one made") from None
        return secret
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret + "\n")
    return secret


def with_secrets(settings: Settings) -> Settings:
    """Settings with every secret filled in. Raises ConfigError for a cluster that names none."""
    auth = settings.auth
    if settings.embedded:
        folder = settings.data_dir / "secrets"
        auth = AuthSettings(
            jwt_secret=auth.jwt_secret or read_or_make_secret(folder / "jwt_secret"),
            jwt_issuer=auth.jwt_issuer,
            admin_secret=auth.admin_secret or read_or_make_secret(folder / "admin_secret"),
        )
    for name in ("jwt_secret", "admin_secret"):
        if len(getattr(auth, name)) < 32:
            raise ConfigError(f"auth.{name} must be set to at least 32 characters (or set embedded: true)")
    return settings.model_copy(update={"auth": auth})
