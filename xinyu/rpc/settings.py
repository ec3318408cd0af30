"""How processes call one another over TCP."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RpcSettings(BaseModel):
    """Rock over TCP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address that other processes of the cluster call this one at.")
    port: int = Field(0, ge=0, le=65535, description="Port for them; 0 picks a free one.")
    secret: str = Field(
        "", repr=False, description="What the nodes of a cluster prove to one another; at least 32 characters. Secret."
    )
    tls_cert_path: str = Field("", description="PEM file with this node's certificate; empty: no TLS between nodes.")
    tls_key_path: str = Field("", description="PEM file with its private key.")
    tls_ca_path: str = Field("", description="PEM file with the authority that signed the certificates of all nodes.")

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

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> RpcSettings:
        tls = {name: getattr(self, name) for name in ("tls_cert_path", "tls_key_path", "tls_ca_path")}
        missing = [name for name, value in tls.items() if not value]
        if missing and len(missing) < len(tls):
            raise ValueError(f"rpc.{missing[0]} is missing: TLS wants a certificate, its key and the authority")
        return self
