"""What the user domain refuses."""

from __future__ import annotations

from xinyu.kernel.errors import Category, XinyuError


class UserError(XinyuError):
    """The user domain refused."""


class UserNotFound(UserError):
    """There is no such user."""

    category = Category.NOT_FOUND
    code = "user.not_found"


class WrongCredentials(UserError):
    """The mobile number or the password is wrong."""

    category = Category.INVALID
    code = "user.wrong_credentials"


class AccountDisabled(UserError):
    """This account is disabled."""

    category = Category.PERMISSION
    code = "user.disabled"


class WrongPassword(UserError):
    """The password is wrong."""

    category = Category.PERMISSION
    code = "user.wrong_password"


class WrongOldPassword(UserError):
    """The old password is wrong."""

    category = Category.PERMISSION
    code = "user.wrong_old_password"


class BadPasswordText(UserError):
    """The password is not valid base64."""

    category = Category.INVALID
    code = "user.password_not_base64"


class BadPasswordCipher(UserError):
    """The password cannot be decrypted."""

    category = Category.INVALID
    code = "user.password_not_decryptable"


class BadPassword(UserError):
    """The password must have 6 to 128 characters."""

    category = Category.INVALID
    code = "user.bad_password"


class BadMobile(UserError):
    """The mobile number must have 5 to 20 digits, with or without a leading +."""

    category = Category.INVALID
    code = "user.bad_mobile"


class BadEmail(UserError):
    """This is not an e-mail address."""

    category = Category.INVALID
    code = "user.bad_email"


class BadProfile(UserError):
    """A field of the profile or of the settings is not valid."""

    category = Category.INVALID
    code = "user.bad_profile"


class MobileRegistered(UserError):
    """There is an account with this mobile number already."""

    category = Category.PRECONDITION
    code = "user.mobile_registered"


class MobileNotRegistered(UserError):
    """There is no account with this mobile number."""

    category = Category.PRECONDITION
    code = "user.mobile_not_registered"


class MobileUnknown(UserError):
    """There is no account whose password could be reset by this mobile number."""

    category = Category.NOT_FOUND
    code = "user.mobile_unknown"


class SameMobile(UserError):
    """The new mobile number is the old one."""

    category = Category.INVALID
    code = "user.same_mobile"


class MobileTaken(UserError):
    """The new mobile number belongs to another account."""

    category = Category.PRECONDITION
    code = "user.mobile_taken"


class EmailNotRegistered(UserError):
    """There is no account with this e-mail address."""

    category = Category.PRECONDITION
    code = "user.email_not_registered"


class SameEmail(UserError):
    """The new e-mail address is the old one."""

    category = Category.INVALID
    code = "user.same_email"


class EmailTaken(UserError):
    """The new e-mail address belongs to another account."""

    category = Category.PRECONDITION
    code = "user.email_taken"


class WrongCode(UserError):
    """The verification code is wrong, used, expired, or was tried too often."""

    category = Category.INVALID
    code = "user.wrong_code"


class UnknownChannel(UserError):
    """There are no verification codes for this purpose."""

    category = Category.INVALID
    code = "user.unknown_channel"


class SmsNotSent(UserError):
    """The text message could not be sent."""

    category = Category.UNAVAILABLE
    code = "user.sms_not_sent"


class EmailNotSent(UserError):
    """The e-mail could not be sent."""

    category = Category.UNAVAILABLE
    code = "user.email_not_sent"


class TooManyAttempts(UserError):
    """Too many attempts; try again later."""

    category = Category.EXHAUSTED
    code = "user.too_many_attempts"
