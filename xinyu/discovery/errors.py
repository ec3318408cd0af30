"""What can go wrong between a process and its registry."""

from __future__ import annotations

from xinyu.kernel.errors import Category, Unavailable, XinyuError


class DiscoveryUnavailable(Unavailable):
    """The registry cannot be reached; what was last known stays in use."""

    code = "discovery.unavailable"


class DiscoveryRefused(XinyuError):
    """The registry does not let this process in; see discovery.zookeeper_auth."""

    category = Category.PRECONDITION
    code = "discovery.refused"


class NodeNameTaken(XinyuError):
    """A live process is registered under this node name; choose another --node, or stop that process."""

    category = Category.CONFLICT
    code = "discovery.node_taken"


class BadInstance(XinyuError):
    """An instance cannot be registered as described."""

    category = Category.INVALID
    code = "discovery.bad_instance"
