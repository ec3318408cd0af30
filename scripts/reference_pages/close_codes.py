"""Why the server closes sockets."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise

from reference_pages.markdown import page, table
from xinyu.gateway.ws import close_codes
from xinyu.gateway.ws.close_codes import RECONNECT_WITH_SAME_TOKEN, CloseCode

INTRO = """The range says whether to come back: 3000–3499 and 4000–4499 yes, 3500–3999 and 4500–4999 no. 4401 is
in the first range and still wants a new token first. Web clients without `sync=1` stop at 1000 and reconnect at
anything else, so a log-in that has ended, or another device in their place, closes theirs with 1000. Code 1006,
which a client sees when the connection broke, is never sent."""


def close_codes_page() -> str:
    """docs/reference/close-codes.md"""
    texts = _texts()
    rows = [
        (str(int(item)), item.name, texts[item.name], "yes" if item in RECONNECT_WITH_SAME_TOKEN else "no")
        for item in CloseCode
    ]
    return page("Close codes", INTRO, [table(("code", "name", "why", "reconnect with the same token"), rows)])


def _texts() -> dict[str, str]:
    """The text under each member."""
    found: dict[str, str] = {}
    tree = ast.parse(inspect.getsource(close_codes))
    (members,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "CloseCode")
    for member, text in pairwise(members):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(member.targets[0], ast.Name)
            found[member.targets[0].id] = " ".join(str(text.value.value).split())
    return found
