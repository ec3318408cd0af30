"""Deliverers of other nodes: an entry of presence says where its node listens, so no registry is asked for a push."""

from __future__ import annotations

from xinyu.app.cluster.links import Links
from xinyu.delivery.nodes import Deliverers
from xinyu.delivery.port import DelivererPort
from xinyu.kernel.ids import NodeId
from xinyu.presence.types import NodeRef


class NodeDeliverers(Deliverers):
    """This node's own sockets, where it has some, and everybody else's over RPC."""

    def __init__(self, here: NodeRef, deliverer: DelivererPort | None, links: Links) -> None:
        self._here = here
        self._deliverer = deliverer
        self._links = links

    def find(self, at: NodeRef) -> DelivererPort | None:
        if at.node == self._here.node:
            return self._deliverer if at.epoch == self._here.epoch else None
        for known in self._links.gateways():
            if known.node == at.node and known.epoch > at.epoch:
                return None  # reborn since
        return self._links.deliverer_at(at)

    def is_here(self, at: NodeRef) -> bool:
        return at.node == self._here.node

    def all_nodes(self) -> list[DelivererPort]:
        others = [
            self._links.deliverer_at(NodeRef(NodeId(known.node), known.epoch, known.address))
            for known in self._links.gateways()
            if known.node != self._here.node
        ]
        return [self._deliverer, *others] if self._deliverer is not None else others
