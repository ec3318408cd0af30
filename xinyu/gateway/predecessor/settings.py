"""Whether processes of the predecessor take part, and which."""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, ConfigDict, Field, model_validator

EVERYWHERE = ("", "0.0.0.0", "::")


class PredecessorSettings(BaseModel):
    """The adapter for the predecessor's gateways and its presence service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(False, description="Let processes of the predecessor take part; they prove nothing.")
    host: str = Field("127.0.0.1", description="Address of the listener that every gateway_ws opens for them.")
    port: int = Field(8065, ge=0, le=65535, description="Port of that listener; 0 picks a free one.")
    advertise_host: str = Field("", description="The address they are told to call us at; empty: that of the listener.")
    allowed: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"), description="Networks they may call from, and be called in, as CIDR."
    )
    presence_address: str = Field(
        "", pattern=r"^(|.+:\d{1,5})$", description="host:port of its presence service, to be told our users; or empty."
    )
    ttl_seconds: int = Field(
        120, ge=3, le=3600, description="How long a user counts as connected without news, either way."
    )
    call_seconds: float = Field(0.5, gt=0, description="How long a call to one of its processes may take.")

    @property
    def told_host(self) -> str:
        """The address that its processes are told."""
        return self.advertise_host or self.host

    @model_validator(mode="after")
    def _can_work(self) -> PredecessorSettings:
        for network in self.allowed:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"predecessor.allowed: {error}") from error
        if self.enabled and self.told_host in EVERYWHERE:
            raise ValueError(f"predecessor.advertise_host is missing: nobody can call {self.host or 'everywhere'}")
        if self.presence_address and not self.enabled:
            raise ValueError("predecessor.enabled is missing: presence_address needs the listener")
        return self
