"""The service that text messages are asked of (`user.sms_url`): one for the run, which keeps what it was given."""

from __future__ import annotations

import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "the carrier's secret"


class Carrier:
    """Takes codes from the processes of all deployments, whose people have numbers of their own."""

    def __init__(self) -> None:
        self.codes: dict[tuple[str, str], str] = {}
        """(mobile, channel) → the code sent last."""
        carrier = self

        class Desk(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                trusted = self.headers["Authorization"] == f"Bearer {SECRET}"
                if trusted:
                    carrier.codes[message["mobile"], message["channel"]] = message["code"]
                self.send_response(204 if trusted else 401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Not among the output of tests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        threading.Thread(target=self._server.serve_forever, name="carrier", daemon=True).start()

    @property
    def settings(self) -> dict[str, str]:
        """What a deployment's `user` needs."""
        return {"sms_url": f"http://127.0.0.1:{self._server.server_port}/codes", "sms_secret": SECRET}


@functools.cache
def carrier() -> Carrier:
    """Begun by who needs it first; it ends with the run."""
    return Carrier()
