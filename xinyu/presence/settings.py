"""How long a session counts as connected without news of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PresenceSettings(BaseModel):
    """The presence domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(
        "memory",
        pattern="^(memory|redis)$",
        description="Where sessions are kept: memory of the one process, or Redis for a cluster.",
    )
    redis_url: str = Field(
        "", repr=False, description="redis://:password@host:port/0, rediss:// or unix://. Secret for its password."
    )
    redis_prefix: str = Field("xinyu:presence:", description="What this cluster's keys begin with.")
    redis_pool_size: int = Field(10, ge=1, le=500, description="Connections to Redis.")
    redis_timeout_seconds: float = Field(2.0, gt=0, description="How long Redis may take to answer.")
    lease_seconds: float = Field(30.0, gt=0, description="A session not renewed for this long is gone.")
    renew_seconds: float = Field(10.0, gt=0, description="How often a node renews its sessions, in one batch.")
    platforms: dict[str, Literal["one", "several"]] = Field(
        {},
        description="How many devices of a user may be connected at once, by the platform that a client names"
        " (web, pc, app, …): several, or one, where the newest closes the one before. `*` is all that are not named;"
        " without it they may be several.",
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> PresenceSettings:
        if self.store == "redis" and not self.redis_url:
            raise ValueError("presence.redis_url is missing: presence.store: redis needs it")
        return self
