"""What the group domain refuses."""

from __future__ import annotations

from xinyu.kernel.errors import Category, XinyuError


class GroupError(XinyuError):
    """The group domain refused."""


class GroupNotFound(GroupError):
    """There is no such group."""

    category = Category.NOT_FOUND
    code = "group.not_found"


class NotAMember(GroupError):
    """You are not a member of this group."""

    category = Category.PERMISSION
    code = "group.not_a_member"


class NothingToLeave(GroupError):
    """You cannot leave a group that you are not a member of."""

    category = Category.NOT_FOUND
    code = "group.nothing_to_leave"


class PermissionDenied(GroupError):
    """Your role in this group does not allow this."""

    category = Category.PERMISSION
    code = "group.permission_denied"


class TargetNotAMember(GroupError):
    """This user is not a member of the group."""

    category = Category.NOT_FOUND
    code = "group.target_not_a_member"


class OwnerCannotLeave(GroupError):
    """The owner must hand the group over before leaving it."""

    category = Category.PRECONDITION
    code = "group.owner_cannot_leave"


class GroupFull(GroupError):
    """The group has no room for so many members."""

    category = Category.PRECONDITION
    code = "group.full"


class UnknownUser(GroupError):
    """One of these users does not exist."""

    category = Category.NOT_FOUND
    code = "group.unknown_user"


class TooManyUsers(GroupError):
    """Too many users in one request."""

    category = Category.INVALID
    code = "group.too_many_users"


class BadText(GroupError):
    """A name, profile, avatar or remark is missing or too long."""

    category = Category.INVALID
    code = "group.bad_text"


class AlreadyAMember(GroupError):
    """You are a member of this group already."""

    category = Category.PRECONDITION
    code = "group.already_a_member"


class ApplicationNotFound(GroupError):
    """There is no such application."""

    category = Category.NOT_FOUND
    code = "group.application_not_found"


class ApplicationHandled(GroupError):
    """This application has been answered already."""

    category = Category.PRECONDITION
    code = "group.application_handled"
