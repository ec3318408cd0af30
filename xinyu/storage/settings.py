"""Where data is kept and how the engines are used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class StorageSettings(BaseModel):
    """One DSN for all domains, or one per domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dsn: str = Field(
        "sqlite:///{data_dir}/xinyu.db", description="Default DSN: sqlite:///file or mysql://user:password@host/schema."
    )
    dsn_by_role: dict[str, str] = Field({}, description="DSNs of single roles that do not use the default one.")
    migration_user: str = Field(
        "", description="Account of `xinyu migrate` on MySQL, in place of the one in the DSNs; empty: the DSNs' own."
    )
    migration_password: str = Field("", repr=False, description="Its password. Secret.")
    sqlite_readers: int = Field(2, ge=1, le=16, description="Reader threads on SQLite (there is one writer).")
    sqlite_inline: bool = Field(False, description="Run SQLite on the event loop, without threads (simulation).")
    mysql_pool_size: int = Field(10, ge=1, le=200, description="Connections per DSN on MySQL.")
    mysql_lock_wait_seconds: int = Field(2, ge=1, le=50, description="How long a transaction waits for a row lock.")
    mysql_timeout_seconds: float = Field(
        10.0,
        ge=1,
        le=600,
        description="How long a unit of work may take on MySQL before its connection is given up.",
    )
    slow_transaction_ms: int = Field(500, ge=1, description="A transaction over this many milliseconds is logged.")
