"""How large groups may get."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GroupSettings(BaseModel):
    """The group domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_members: int = Field(500, ge=2, le=2000, description="Members of a group made from now on, its owner included.")
    max_users_per_request: int = Field(200, ge=1, le=1000, description="Users that one request adds or removes.")
