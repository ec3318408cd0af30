"""How messages are stored and what senders may do."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MessageSettings(BaseModel):
    """The message domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_text_chars: int = Field(8000, ge=1, description="Longest text message, in characters.")
    max_content_bytes: int = Field(65_536, ge=1024, description="Largest content of any message, in bytes of JSON.")
    recall_seconds: int = Field(180, ge=0, description="How long a sender may recall a message; 0 is for ever.")
    batch_size: int = Field(64, ge=1, le=1000, description="Most messages that share one transaction.")
    batches_in_flight: int = Field(4, ge=1, le=64, description="Transactions at once on MySQL (SQLite has one).")
    queue_size: int = Field(5000, ge=1, description="Messages waiting for a transaction before senders are refused.")
    queue_bytes: int = Field(
        64_000_000, ge=1, description="Once their contents have so many bytes, senders are refused too."
    )
    push_queue: int = Field(
        20_000, ge=1, description="Committed entries waiting for delivery; more stay in the outbox."
    )
    push_queue_bytes: int = Field(
        64_000_000, ge=1, description="Once they have so many bytes, more stay in the outbox too."
    )
    outbox_keep_seconds: float = Field(
        60.0, ge=0, description="Delivered outbox rows are kept for replay this long (not where presence is in memory)."
    )
    outbox_stale_seconds: float = Field(
        2.5,
        gt=0,
        description="The sweep takes up what is undelivered for so long (with its own interval below 5 s: G4).",
    )
    outbox_lease_seconds: float = Field(
        2.5,
        gt=0,
        description="A claim on left-over outbox rows lasts this long (with the interval of the sweep below 5 s: G4).",
    )
    outbox_sweep_seconds: float = Field(2.0, gt=0, description="How often left-over outbox rows are looked for.")
    outbox_attempts: int = Field(60, ge=1, description="Deliveries of a row before it is quarantined.")
    outbox_rest_seconds: float = Field(
        300.0, gt=0, description="How long a quarantined row rests; then one delivery more is tried, and so on."
    )
    conversation_cache: int = Field(20_000, ge=1, description="Conversations whose members are remembered.")
