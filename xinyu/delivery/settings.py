"""How pushes are fanned out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DeliverySettings(BaseModel):
    """The delivery domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_pushes: int = Field(20_000, ge=1, description="Pushes waiting for their fan-out before more are refused.")
    queue_signals: int = Field(5_000, ge=1, description="Fleeting signals waiting before more are dropped.")
    batch_pushes: int = Field(256, ge=1, description="Most pushes of one presence call, and of one call to a node.")
    queue_completions: int = Field(
        20_000, ge=1, description="Delivered pushes waiting to be reported before more are left to the outbox."
    )
    lane_pushes: int = Field(
        2_000, ge=1, description="Pushes waiting for one other node before more are left to the outbox."
    )
    lane_signals: int = Field(1_000, ge=1, description="Signals waiting for one other node before more are dropped.")
    attempt_seconds: float = Field(3.0, gt=0, description="How long a node may take to answer for a batch.")
