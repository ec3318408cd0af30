"""How passwords, log-ins and codes are handled."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class UserSettings(BaseModel):
    """The user domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_lifetime_seconds: int = Field(
        604_800, ge=60, le=31_536_000, description="How long an access token is good, unless its log-in is ended."
    )
    accept_plain_passwords: bool = Field(
        False, description="Take passwords that are not RSA-encrypted too; for use behind TLS or on loopback."
    )
    rsa_private_key_path: str = Field(
        "{data_dir}/secrets/rsa_private.pem",
        description="PEM file of the key that clients' passwords are decrypted with.",
    )
    argon2_time_cost: int = Field(2, ge=1, le=20, description="Argon2id passes over the memory (OWASP: 2).")
    argon2_memory_kib: int = Field(19_456, ge=8, le=1_048_576, description="Argon2id memory, KiB (OWASP: 19456).")
    argon2_parallelism: int = Field(1, ge=1, le=16, description="Argon2id lanes (OWASP: 1).")
    hash_threads: int = Field(2, ge=1, le=32, description="Passwords hashed at the same time.")
    hash_queue: int = Field(200, ge=1, description="Passwords waiting to be hashed before requests are refused.")

    throttle_window_seconds: int = Field(300, ge=1, le=86_400, description="Window of the attempt limits below.")
    logins_per_mobile: int = Field(
        10, ge=0, description="Log-in attempts for one mobile per window, since its last success; 0 is no limit."
    )
    logins_per_address: int = Field(
        300, ge=0, description="Log-in attempts from one address per window; 0 is no limit."
    )
    passwords_per_user: int = Field(
        10, ge=0, description="Passwords a logged-in user may try per window, since the last right one; 0 is no limit."
    )
    code_attempts_per_target: int = Field(
        15, ge=0, description="Codes tried for one mobile or e-mail address per window; 0 is no limit."
    )
    code_attempts_per_code: int = Field(5, ge=1, le=20, description="Tries after which a code is worthless.")
    code_sends_per_target: int = Field(
        5, ge=0, description="Codes sent to one mobile or e-mail address per window; 0 is no limit."
    )
    code_sends_per_address: int = Field(
        60, ge=0, description="Codes that one client address may have sent per window; 0 is no limit."
    )

    sms_code_seconds: int = Field(300, ge=30, le=3600, description="How long a code sent by text message is good.")
    email_code_seconds: int = Field(600, ge=30, le=86_400, description="How long a code sent by e-mail is good.")
    codes_in_response: bool = Field(
        False, description="Put codes into responses. Whoever asks gets in: only for trying the server out."
    )
    sms_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description='Service that text messages with codes are asked of: POST {"mobile", "code", "channel"}. Empty '
        "sends none; with embedded, writes the codes to the log.",
    )
    sms_secret: str = Field(
        "", repr=False, pattern=r"^[ -~]*$", description="Bearer token for sms_url; empty sends none. Secret."
    )
    sms_timeout_seconds: float = Field(8.0, gt=0, le=60, description="Asking for a text message takes no longer.")
    smtp_host: str = Field(
        "", description="Mail server for codes; empty sends none; with embedded, writes the codes to the log."
    )
    smtp_port: int = Field(587, ge=1, le=65_535, description="Port of the mail server.")
    smtp_tls: str = Field(
        "starttls", pattern="^(starttls|tls|none)$", description="Encryption to the mail server: starttls, tls or none."
    )
    smtp_user: str = Field("", description="Account on the mail server; empty does not log in.")
    smtp_password: str = Field("", repr=False, description="Password on the mail server. Secret.")
    smtp_from: str = Field("", description="Sender's address of the mails; required with smtp_host.")
    smtp_timeout_seconds: float = Field(8.0, gt=0, le=60, description="Sending a mail takes no longer.")
