"""What a drill needs of its stage that the stage's file has otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Shape = Callable[[Mapping[str, tuple[str, ...]]], tuple[str, ...]]
"""From the processes of a stage and their roles to the settings to change, as `a.b=value`."""


def as_shipped(nodes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The stage as its file has it."""
    return ()


def own_delivery(nodes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Delivery in two processes of its own, which take pushes from Redis Streams (ADR 18)."""
    others = {
        node: [role for role in roles if role != "delivery"] for node, roles in nodes.items() if "delivery" in roles
    }
    return (
        "delivery.queue=redis",
        *(f"processes.{node}.roles=[{', '.join(roles)}]" for node, roles in others.items()),
        "processes.delivery_1.roles=[delivery]",
        "processes.delivery_2.roles=[delivery]",
    )


SHAPES: dict[str, Shape] = {"kill-delivery": own_delivery}
"""By drill; the others take the stage as it is."""


def shape_of(drill: str) -> Shape:
    """What a drill needs."""
    return SHAPES.get(drill, as_shipped)
