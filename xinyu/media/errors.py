"""What the media domain refuses."""

from __future__ import annotations

from xinyu.kernel.errors import Category, Unavailable, XinyuError


class MediaError(XinyuError):
    """The media domain refused."""


class MediaNotFound(MediaError):
    """There is no such file."""

    category = Category.NOT_FOUND
    code = "media.not_found"


class NotAnImage(MediaError):
    """The file is no image of a supported kind, or it is damaged."""

    category = Category.INVALID
    code = "media.not_an_image"


class ImageTooLarge(MediaError):
    """The image has too many pixels."""

    category = Category.INVALID
    code = "media.too_many_pixels"


class FileTooLarge(MediaError):
    """The file is too large."""

    category = Category.INVALID
    code = "media.too_large"


class BadUpload(MediaError):
    """An upload needs a file name and a size above zero."""

    category = Category.INVALID
    code = "media.bad_upload"


class BadPart(MediaError):
    """The part does not fit the upload: index, count or size."""

    category = Category.INVALID
    code = "media.bad_part"


class PartConflict(MediaError):
    """Other bytes are stored under this part's index."""

    category = Category.CONFLICT
    code = "media.part_conflict"


class UploadNotFound(MediaError):
    """You have no such upload."""

    category = Category.NOT_FOUND
    code = "media.no_upload"


class UploadExpired(MediaError):
    """The time for this upload is over; begin again."""

    category = Category.INVALID
    code = "media.upload_expired"


class TooManyUploads(MediaError):
    """You have too many unfinished uploads."""

    category = Category.EXHAUSTED
    code = "media.too_many_uploads"


class UploadBusy(Unavailable):
    """The upload is still being put together; ask again."""

    code = "media.busy"


class ImagesBusy(MediaError):
    """Too many images are waiting to be checked; try again."""

    category = Category.EXHAUSTED
    code = "media.images_busy"


class BlobMissing(MediaError):
    """Bytes that should be stored are not there."""

    category = Category.NOT_FOUND
    code = "media.blob_missing"


class BlobsUnavailable(Unavailable):
    """The folder of uploaded files cannot be read or written; nothing was changed."""

    code = "media.blobs_unavailable"


class BlobsFull(BlobsUnavailable):
    """There is no room for uploaded files; nothing was stored."""

    code = "media.no_room"


class EmoticonNotFound(MediaError):
    """You have no such emoticon."""

    category = Category.NOT_FOUND
    code = "media.no_emoticon"


class TooManyEmoticons(MediaError):
    """You have as many emoticons as one user may have."""

    category = Category.EXHAUSTED
    code = "media.too_many_emoticons"
