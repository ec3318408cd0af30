"""What users may upload and where it is kept."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MediaSettings(BaseModel):
    """The media domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blob_dir: str = Field(
        "{data_dir}/media", description="Folder of uploaded files. In a cluster, gateways and media services share it."
    )
    min_free_bytes: int = Field(
        134_217_728, ge=0, description="Uploads are refused when the disk has less room left, in bytes."
    )
    max_file_bytes: int = Field(209_715_200, ge=1, le=2**40, description="Largest file uploaded in parts, in bytes.")
    shard_bytes: int = Field(5_242_880, ge=1024, le=67_108_864, description="Size of the parts of an upload, in bytes.")
    max_image_bytes: int = Field(20_971_520, ge=1024, le=104_857_600, description="Largest image, in bytes.")
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=200_000_000, description="Most pixels (width x height) of an image."
    )
    thumbnail_pixels: int = Field(400, ge=16, le=4000, description="Longest side of a thumbnail, in pixels.")
    image_workers: int = Field(2, ge=1, le=32, description="Images that are checked at once, each on a thread.")
    image_queue: int = Field(32, ge=1, description="Images waiting to be checked before uploads are refused.")
    max_open_uploads: int = Field(32, ge=1, description="Unfinished uploads of one user.")
    upload_keep_seconds: int = Field(86_400, ge=60, description="An upload must be complete after this long.")
    staged_keep_seconds: int = Field(3600, ge=60, description="Received bytes that nobody kept are removed after this.")
    assembly_lease_seconds: int = Field(
        120, ge=5, description="A process that puts parts together is believed this long."
    )
    assembly_wait_seconds: float = Field(10.0, gt=0, description="How long a caller waits for another one's assembly.")
    sweep_seconds: float = Field(300.0, gt=0, description="How often expired uploads are removed.")
    max_emoticons: int = Field(200, ge=1, description="Emoticons of one user.")
