"""Whether a process lives and is ready, for probes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Readiness:
    """Set by the supervisor, read by probes."""

    def __init__(self) -> None:
        self.ready = False
        self.draining = False

    def routes(self) -> list[Route]:
        """`/livez`: the process answers. `/readyz`: it takes work (200) or not (503)."""
        return [Route("/livez", self._livez), Route("/readyz", self._readyz)]

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _readyz(self, _request: Request) -> Response:
        status = 200 if self.ready else 503
        return JSONResponse({"ready": self.ready, "draining": self.draining}, status)
