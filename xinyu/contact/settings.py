"""How many contacts there may be, and how applications behave."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ContactSettings(BaseModel):
    """The contact domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_contacts: int = Field(5_000, ge=1, description="Contacts of one user.")
    max_groups: int = Field(100, ge=1, description="Contact groups of one user.")
    max_pending_applications: int = Field(200, ge=1, description="Applications of one user awaiting an answer.")
    listed_applications: int = Field(500, ge=1, le=5_000, description="Applications to one user that a list shows.")
    notify_again_seconds: float = Field(
        60.0, ge=0, description="A repeated application tells its target again only after this long."
    )
    greeting: str = Field(
        "我们已经是好友了，可以开始聊天了", min_length=1, description="First message between new contacts."
    )
