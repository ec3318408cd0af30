"""What the contact domain refuses."""

from __future__ import annotations

from xinyu.kernel.errors import Category, XinyuError


class ContactError(XinyuError):
    """The contact domain refused."""


class UserUnknown(ContactError):
    """There is no such user."""

    category = Category.NOT_FOUND
    code = "contact.user_unknown"


class OneselfRefused(ContactError):
    """You cannot be your own contact, nor block yourself."""

    category = Category.INVALID
    code = "contact.self"


class NotAContact(ContactError):
    """This user is not one of your contacts."""

    category = Category.NOT_FOUND
    code = "contact.not_a_contact"


class AlreadyContacts(ContactError):
    """This user is your contact already."""

    category = Category.CONFLICT
    code = "contact.already"


class TargetBlocked(ContactError):
    """You have blocked this user; unblock first."""

    category = Category.CONFLICT
    code = "contact.blocked"


class TooManyContacts(ContactError):
    """One of the two has no room for another contact."""

    category = Category.PRECONDITION
    code = "contact.full"


class TooManyApplications(ContactError):
    """Too many of your applications are waiting for an answer."""

    category = Category.EXHAUSTED
    code = "contact.too_many_applications"


class ApplicationNotFound(ContactError):
    """There is no such application to you."""

    category = Category.NOT_FOUND
    code = "contact.no_application"


class ApplicationHandled(ContactError):
    """This application was answered or withdrawn before."""

    category = Category.CONFLICT
    code = "contact.application_handled"


class BadRemark(ContactError):
    """The remark is too long."""

    category = Category.INVALID
    code = "contact.bad_remark"


class ContactGroupNotFound(ContactError):
    """You have no such contact group."""

    category = Category.NOT_FOUND
    code = "contact.no_group"


class BadContactGroups(ContactError):
    """A contact group has no name, too long a name or a bad sort, or two are the same, or there are too many."""

    category = Category.INVALID
    code = "contact.bad_groups"


class BadMobile(ContactError):
    """This cannot be a mobile number."""

    category = Category.INVALID
    code = "contact.bad_mobile"
