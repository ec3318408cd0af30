"""How clients come in: addresses, limits, timeouts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GatewaySettings(BaseModel):
    """REST and WebSocket gateways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_host: str = Field("127.0.0.1", description="Address of the REST listener.")
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the REST listener; 0 picks a free one.")
    ws_host: str = Field("127.0.0.1", description="Address of the WebSocket listener.")
    ws_port: int = Field(8081, ge=0, le=65535, description="Port of the WebSocket listener.")
    ws_on_http: bool = Field(True, description="Also serve WebSocket on the REST port.")
    trusted_proxies: str = Field("127.0.0.1", description="Addresses whose X-Forwarded-For is believed.")
    cors_origins: tuple[str, ...] = Field((), description="Origins that browsers may call from.")
    cors_origin_regex: str = Field("", description="The same as a regular expression.")
    timezone: str = Field("Asia/Shanghai", description="Time zone of the contract's local times.")

    request_timeout_seconds: float = Field(15.0, gt=0, description="A REST request takes no longer.")
    max_json_bytes: int = Field(1_048_576, ge=1024, description="Largest JSON body, in bytes.")
    replay_window_seconds: float = Field(
        8.0, gt=0, description="How long a create is answered from memory. Web clients repeat after 5.5 s."
    )
    replay_window_size: int = Field(10_000, ge=1, description="How many creates are remembered.")
    max_requests: int = Field(
        20_000, ge=1, description="Requests of all clients that run at once, REST and socket, before more are refused."
    )
    login_cache_seconds: float = Field(3.0, gt=0, le=5, description="How long a login's state is believed.")
    requests_per_minute_per_user: int = Field(1200, ge=0, description="REST requests of one user; 0 is no limit.")
    requests_per_minute_per_ip: int = Field(6000, ge=0, description="REST requests of one address; 0 is no limit.")
    handshakes_per_minute_per_ip: int = Field(
        12_000,
        ge=0,
        description="Sockets begun from one address; 0 is no limit. All that is behind one address must be able to"
        " come back within a minute or two.",
    )
    sends_per_second_per_user: int = Field(50, ge=0, description="Messages of one user; 0 is no limit.")
    socket_requests_per_second_per_user: int = Field(
        200, ge=0, description="Other requests of one user on sockets; 0 is no limit."
    )
    limits_store: str = Field(
        "memory",
        pattern="^(memory|redis)$",
        description="Where the limits above are counted: memory of each gateway, or Redis for all of them together.",
    )
    limits_redis_url: str = Field(
        "", repr=False, description="The Redis for limits; empty is presence.redis_url. Secret for its password."
    )

    max_frame_bytes: int = Field(1_048_576, ge=1024, description="Largest client frame, in bytes.")
    heartbeat_seconds: float = Field(120.0, gt=0, description="A socket silent for longer is closed.")
    max_requests_in_flight: int = Field(64, ge=1, description="Socket requests of one session that run at once.")
    send_queue_frames: int = Field(2000, ge=10, description="Frames queued for one session before it is closed.")
    send_queue_bytes: int = Field(4_194_304, ge=1024, description="Bytes queued for a session, or awaiting their acks.")
    max_sessions: int = Field(100_000, ge=1, description="Sessions of one node.")
    max_sessions_per_user: int = Field(20, ge=1, description="Sessions of one user on one node; the oldest is closed.")
    retransmit_seconds: float = Field(3.0, gt=0, description="An unacknowledged push is repeated after this long.")
    ack_window_frames: int = Field(500, ge=1, description="Pushes awaiting their ack per session.")
    order_hold_ms: int = Field(200, ge=0, description="How long a push waits for its predecessor.")
    order_hold_pushes: int = Field(
        1000, ge=1, description="Pushes of one conversation that wait so; with more the gap is read from the log."
    )
    cursor_flush_seconds: float = Field(10.0, gt=0, description="Device cursors are stored at least this often.")
    catch_up_limit: int = Field(500, ge=1, description="Pushes per conversation when a client without sync reconnects.")
    revocation_sweep_seconds: float = Field(2.0, gt=0, le=4, description="How often open sockets' logins are checked.")
    name_cache_seconds: float = Field(30.0, gt=0, description="How long names and avatars are remembered.")
    drain_seconds: float = Field(
        5.0,
        ge=0,
        description="Over how long a leaving node sends its sessions away, evenly: a node of n sessions brings the"
        " others n / drain_seconds reconnects per second.",
    )
