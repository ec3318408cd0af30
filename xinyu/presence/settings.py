"""How long a session counts as connected without news of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PresenceSettings(BaseModel):
    """The presence domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field("memory", pattern="^(memory)$", description="Where sessions are kept.")
    lease_seconds: float = Field(30.0, gt=0, description="A session not renewed for this long is gone.")
    renew_seconds: float = Field(10.0, gt=0, description="How often a node renews its sessions, in one batch.")
