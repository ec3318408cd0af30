"""All settings of a process: the sum of the packages' settings, from defaults < YAML files < environment < flags."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from xinyu.app.settings_files import ConfigError as ConfigError
from xinyu.app.settings_files import layered, read_yaml
from xinyu.contact.settings import ContactSettings
from xinyu.delivery.settings import DeliverySettings
from xinyu.discovery.settings import DiscoverySettings
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.gateway.settings import GatewaySettings
from xinyu.group.settings import GroupSettings
from xinyu.media.settings import MediaSettings
from xinyu.message.settings import MessageSettings
from xinyu.presence.settings import PresenceSettings
from xinyu.rpc.settings import RpcSettings
from xinyu.storage.settings import StorageSettings
from xinyu.user.settings import UserSettings


class LogSettings(BaseModel):
    """Logs of the process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level that is written.")
    style: str = Field("console", pattern="^(console|json)$", description="For the eye, or JSON lines.")
    slow_request_ms: int = Field(1000, ge=0, description="Requests of clients that take so long are logged; 0: none.")


class AuthSettings(BaseModel):
    """Secrets that tokens and nodes are checked with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jwt_secret: str = Field("", repr=False, description="Key of access tokens; at least 32 characters. Secret.")
    jwt_issuer: str = Field("auth-service", description="The `iss` claim.")
    admin_secret: str = Field("", repr=False, description="What the CLI shows to the admin port. Secret.")


class Settings(BaseSettings):
    """The whole configuration. Unknown keys are errors."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="XINYU_", env_nested_delimiter="__", validate_default=True
    )

    node: str = Field("node-1", pattern=r"^[A-Za-z0-9._-]{1,60}$", description="Name of this process in the cluster.")
    roles: tuple[str, ...] = Field((), description="Roles this process hosts; none names all.")
    embedded: bool = Field(
        False, description="One process with everything inside: makes its own secrets and migrates by itself."
    )
    data_dir: Path = Field(Path("data"), description="Folder of this process's files.")
    admin_host: str = Field("127.0.0.1", description="Address of the admin port. Keep it on loopback.")
    admin_port: int = Field(8089, ge=0, le=65535, description="Port for the CLI, probes and metrics; 0 picks one.")
    event_loop: str = Field("uvloop", pattern="^(uvloop|asyncio)$", description="Event loop of the process.")
    shutdown_seconds: float = Field(20.0, gt=0, description="A stop takes no longer than this.")

    processes: dict[str, dict[str, Any]] = Field(
        {},
        description="The processes of a cluster by node name: what each sets otherwise than the rest of the file.",
    )

    log: LogSettings = LogSettings()
    auth: AuthSettings = AuthSettings()
    storage: StorageSettings = StorageSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    rpc: RpcSettings = RpcSettings()
    gateway: GatewaySettings = GatewaySettings()
    predecessor: PredecessorSettings = PredecessorSettings()
    message: MessageSettings = MessageSettings()
    contact: ContactSettings = ContactSettings()
    group: GroupSettings = GroupSettings()
    delivery: DeliverySettings = DeliverySettings()
    presence: PresenceSettings = PresenceSettings()
    media: MediaSettings = MediaSettings()
    user: UserSettings = UserSettings()

    @property
    def clustered(self) -> bool:
        """Whether this process works with others, found by a registry; else it has everything inside."""
        return self.discovery.registry != "memory"

    @property
    def limits_redis_url(self) -> str:
        """Where `gateway.limits_store: redis` counts."""
        return self.gateway.limits_redis_url or self.presence.redis_url

    @property
    def queue_redis_url(self) -> str:
        """Where `delivery.queue: redis` keeps pushes."""
        return self.delivery.redis_url or self.presence.redis_url

    @property
    def queue_redis_section(self) -> str:
        """Whose `redis_url` that is."""
        return "delivery" if self.delivery.redis_url else "presence"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _YamlLayers(settings_cls, _PENDING_LAYERS)


_PENDING_LAYERS: dict[str, Any] = {}


class _YamlLayers(PydanticBaseSettingsSource):
    """The merged YAML files, below the environment."""

    def __init__(self, settings_cls: type[BaseSettings], layers: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._layers = dict(layers)

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._layers.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._layers


def load_settings(paths: list[Path], flags: dict[str, Any] | None = None) -> Settings:
    """Settings from `paths` (later ones on top), the environment and `flags`. Raises ConfigError, one line."""
    files = [read_yaml(path) for path in paths]
    node = str((flags or {}).get("node") or os.environ.get("XINYU_NODE") or "")
    layers = layered(files, node)
    _PENDING_LAYERS.clear()
    _PENDING_LAYERS.update(layers)
    try:
        return Settings(**(flags or {}))
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from error
    except SettingsError as error:  # a list or mapping in the environment
        raise ConfigError(f"environment: {error}; lists and mappings are written as JSON there") from error
    finally:
        _PENDING_LAYERS.clear()


def _one_line(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        name = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            problems.append(f"{name}: there is no such setting (see `xinyu config defaults`)")
        elif item["type"] == "value_error":  # our own words, which name the setting
            problems.append(item["msg"].removeprefix("Value error, "))
        else:
            problems.append(f"{name}: {item['msg']}")
    return "; ".join(problems)


SECRET_NAMES = frozenset(
    {"jwt_secret", "admin_secret", "secret", "smtp_password", "sms_secret", "migration_password", "zookeeper_auth"}
)
URL_NAMES = frozenset({"dsn", "dsn_by_role", "redis_url", "limits_redis_url", "sms_url"})
"""Addresses with a password in them."""


def shown(settings: Settings) -> dict[str, Any]:
    """Settings as they may be shown: secrets masked, the passwords in DSNs too."""
    dumped = _masked(settings.model_dump(mode="json"))
    assert isinstance(dumped, dict)
    return dumped


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, key if name not in URL_NAMES else name) for key, item in value.items()}
    if name in URL_NAMES and value:
        address = re.sub(r"(://[^:/@]*):.*@", r"\1:****@", str(value))
        return re.sub(r"([?&]password=)[^&]*", r"\1****", address)
    return "****" if name in SECRET_NAMES and value else value


class SettingField(NamedTuple):
    """One setting: its dotted name, its default as JSON value, what it is."""

    name: str
    default: Any
    text: str


def described() -> Iterator[SettingField]:
    """Every setting with its default and description, in the order of the classes."""
    return _described(Settings, "")


def _described(model: type[BaseModel], prefix: str) -> Iterator[SettingField]:
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            yield from _described(type(default), f"{prefix}{name}.")
        else:
            value = str(default) if isinstance(default, Path) else default
            yield SettingField(prefix + name, value, field.description or "")


def defaults_yaml() -> str:
    """A configuration file with every setting at its default, each under its description."""
    lines: list[str] = []
    section = ""
    for name, default, text in described():
        head, _, rest = name.rpartition(".")
        if head != section:
            lines += ["", f"{head}:"]
            section = head
        indent = "  " if head else ""
        lines += [f"{indent}# {text}", f"{indent}{rest}: {json.dumps(default, ensure_ascii=False)}"]
    return "\n".join(lines) + "\n"


def as_yaml(values: dict[str, Any]) -> str:
    """A mapping of settings as YAML, in its own order."""
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def stray_variables(environment: dict[str, str], known: frozenset[str]) -> list[str]:
    """XINYU_ variables that name no setting and are not in `known`: most likely misspelt, and without effect."""
    fields = {f"XINYU_{name.upper()}" for name in Settings.model_fields}
    return sorted(
        name
        for name in environment
        if name.upper().startswith("XINYU_") and name not in known and name.upper().split("__")[0] not in fields
    )
