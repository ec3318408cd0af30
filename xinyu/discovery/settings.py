"""How processes find one another."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xinyu.discovery.types import DEFAULT_WEIGHT


class DiscoverySettings(BaseModel):
    """The registry, and how this process shows itself in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry: str = Field(
        "memory",
        pattern="^(memory|static|zookeeper)$",
        description="Where instances are found: memory knows itself only.",
    )
    zookeeper_hosts: str = Field("", description="host:port,… of the ZooKeeper servers.")
    zookeeper_auth: str = Field(
        "", repr=False, description="user:password (digest); then nobody else reads or changes our nodes. Secret."
    )
    root: str = Field(
        "/services", pattern=r"^(/[A-Za-z0-9._-]+)+$", description="Where the nodes stand: root/role/node."
    )
    session_seconds: float = Field(
        6.0, gt=0, le=120, description="Silence after which ZooKeeper takes a process for gone."
    )
    connect_seconds: float = Field(10.0, gt=0, description="How long the start waits for ZooKeeper.")
    static: dict[str, list[str]] = Field({}, description="For the static registry: role to its addresses host:port.")
    advertise_host: str = Field("", description="Host that others call this process by; empty: the one it listens on.")
    advertise_port: int = Field(
        0, ge=0, le=65535, description="Port that others call this process by; 0: the one it listens on."
    )
    weight: int = Field(DEFAULT_WEIGHT, ge=0, le=10_000, description="Share of the calls; 0 gets none.")
    zone: str = Field("", description="Where this process runs; calls stay in the zone while it keeps up.")
    tags: list[str] = Field([], description="Shown with the instance.")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> DiscoverySettings:
        if self.registry == "zookeeper" and not self.zookeeper_hosts:
            raise ValueError("discovery.zookeeper_hosts is missing: the zookeeper registry needs it")
        if self.registry == "static" and not self.static:
            raise ValueError("discovery.static is missing: the static registry needs addresses")
        return self
