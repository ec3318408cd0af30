"""How processes call one another over TCP."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RpcSettings(BaseModel):
    """Rock over TCP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_seconds: float = Field(5.0, gt=0, description="How long a call may take whose caller set no deadline.")
    connect_seconds: float = Field(3.0, gt=0, description="How long connecting and authenticating may take, each side.")
    reconnect_first_seconds: float = Field(0.01, gt=0, description="Pause after a connection could not be made.")
    reconnect_longest_seconds: float = Field(1.0, gt=0, description="The pause doubles up to this.")
    keepalive_seconds: float = Field(
        15.0, gt=0, description="Silence after which a peer is asked; twice that is death."
    )
    idle_seconds: float = Field(120.0, gt=0, description="A connection that nobody uses is closed after this.")
    connections_per_target: int = Field(
        1, ge=1, le=64, description="Connections for ordinary calls; large ones have one."
    )
    bulk_bytes: int = Field(65_536, ge=1, description="Requests of at least this size do not share the ordinary ones.")
    gzip: bool = Field(False, description="Ask peers to compress what is 4 KiB or longer: for slow networks.")
    calls_per_connection: int = Field(8_192, ge=1, description="Calls in flight on one before more are refused.")
    pending_bytes: int = Field(
        16_777_216, ge=1, description="Bytes waiting to be sent on one before calls are refused."
    )
    concurrent_calls: int = Field(4_096, ge=1, description="Calls that a process runs at once before more are refused.")
    connections: int = Field(1_024, ge=1, description="Connections that a process accepts.")
    retry_attempts: int = Field(8, ge=1, description="How often a call is tried at most, within its deadline.")
    retry_first_seconds: float = Field(0.025, gt=0, description="Pause before the second attempt; it doubles.")
    retry_longest_seconds: float = Field(1.0, gt=0, description="The longest pause between two attempts.")
    retry_share: float = Field(0.1, ge=0, le=1, description="Further attempts a process may make per first one.")
    retry_burst: int = Field(100, ge=0, description="Further attempts that may be saved up.")
    breaker_failures: int = Field(5, ge=1, description="Failures in a row after which a target gets a rest.")
    breaker_first_seconds: float = Field(0.5, gt=0, description="The first rest; it doubles while probes fail.")
    breaker_longest_seconds: float = Field(5.0, gt=0, description="The longest rest.")
