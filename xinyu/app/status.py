"""Whether a process lives and is ready, for probes."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Readiness:
    """Set by the supervisor, read by probes."""

    def __init__(self) -> None:
        self.up = False
        """Whether the start is done and no stop has begun."""
        self.draining = False
        self.waits_for: Callable[[], list[str]] = list
        """Roles that this process needs and nobody is known to host."""

    @property
    def ready(self) -> bool:
        """Whether work is taken."""
        return self.up and not self.waits_for()

    def routes(self) -> list[Route]:
        """`/livez`: the process answers. `/readyz`: it takes work (200) or not (503)."""
        return [Route("/livez", self._livez), Route("/readyz", self._readyz)]

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _readyz(self, _request: Request) -> Response:
        status = 200 if self.ready else 503
        told = {"ready": self.ready, "draining": self.draining, "waits_for": self.waits_for()}
        return JSONResponse(told, status)
