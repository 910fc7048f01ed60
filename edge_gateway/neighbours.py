"""This edge and its peers, for clients that look for the nearest."""

from edge_gateway.identity import Identity
from edge_gateway.peers import Peer, Peers


class Neighbours:
    """The edges that a client of this one may use.

    Args:
        identity: Who this edge is.
        peers: The edges that the operator names.
    """

    def __init__(self, identity: Identity, peers: Peers) -> None:
        self._identity = identity
        self._peers = peers

    async def edges(self) -> list[Peer]:
        """This edge, and then the others in the operator's order.

        Where the operator's list has this edge's name, too, that tells how clients reach it: it listens perhaps on
        every address of its machine, or stands behind a balancer.
        """
        this, peers = self._identity, await self._peers.all()
        here = next((peer for peer in peers if peer.name == this.name), None)
        first = Peer(
            name=this.name,
            region=this.region or (here.region if here else ""),
            address=here.address if here else this.address(),
            web=here.web if here else "",
        )
        return [first, *(peer for peer in peers if peer is not here)]
