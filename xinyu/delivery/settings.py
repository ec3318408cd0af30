"""How pushes are fanned out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DeliverySettings(BaseModel):
    """The delivery domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: str = Field(
        "local",
        pattern="^(local|redis)$",
        description="Where pushes wait for their fan-out: in its process, called by others; or in Redis Streams.",
    )
    redis_url: str = Field(
        "", repr=False, description="Where `queue: redis` keeps them; default presence.redis_url. Secret."
    )
    stream_partitions: int = Field(
        16, ge=1, le=256, description="Streams, each in the hands of one process; the same number in all processes."
    )
    stream_pushes: int = Field(50_000, ge=1, description="Pushes in all streams before more stay in the outbox.")
    stream_in_hand: int = Field(
        1_000, ge=1, description="Pushes that one process takes out of the streams before some are through."
    )
    stream_lease_seconds: float = Field(
        2.0, ge=0.1, description="The streams of a process that died are taken over by others after this time."
    )
    queue_pushes: int = Field(20_000, ge=1, description="Pushes waiting for their fan-out before more are refused.")
    queue_push_bytes: int = Field(
        64_000_000, ge=1, description="Once their payloads have so many bytes, more are refused too."
    )
    queue_signals: int = Field(5_000, ge=1, description="Fleeting signals waiting before more are dropped.")
    batch_pushes: int = Field(256, ge=1, description="Most pushes of one presence call, and of one call to a node.")
    queue_completions: int = Field(
        20_000, ge=1, description="Delivered pushes waiting to be reported before more are left to the outbox."
    )
    lane_pushes: int = Field(
        2_000, ge=1, description="Pushes waiting for one other node before more are left to the outbox."
    )
    lane_push_bytes: int = Field(
        16_000_000, ge=1, description="Once their payloads have so many bytes, more are left to the outbox too."
    )
    lane_signals: int = Field(1_000, ge=1, description="Signals waiting for one other node before more are dropped.")
    attempt_seconds: float = Field(3.0, gt=0, description="How long a node may take to answer for a batch.")

    @model_validator(mode="after")
    def _fits_a_lane(self) -> DeliverySettings:
        if self.queue == "redis" and self.stream_in_hand > self.lane_pushes:
            raise ValueError("delivery.stream_in_hand: must not exceed delivery.lane_pushes: one node may get them all")
        return self
