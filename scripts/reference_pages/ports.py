"""Every port: its role, methods, commands, what may be repeated."""

from __future__ import annotations

from reference_pages.markdown import code, page, summary, table
from xinyu.app.roles import ROLES
from xinyu.kernel.port import Port
from xinyu.rpc.spec import MethodSpec, spec_of

INTRO = """Domains call one another through ports: ABCs from which `xinyu/rpc` derives stubs and dispatch. The
number is the method's command on the wire. An idempotent method may be repeated after transport trouble;
another one may not."""


def ports_page() -> str:
    """docs/reference/ports.md"""
    parts = []
    for role, spec in ROLES.items():
        if spec.ports:
            parts.append(f"## {role}\n\n{spec.text[0].upper()}{spec.text[1:]}.")
            parts += [_section(port) for port in spec.ports]
    return page("Ports", INTRO, parts)


def _section(port: type[Port]) -> str:
    methods = sorted(spec_of(port).methods.values(), key=lambda method: method.command)
    rows = [
        (str(m.command), code(_signature(m)), "yes" if m.idempotent else "no", summary(getattr(port, m.name)))
        for m in methods
    ]
    return f"### {port.__name__}\n\n{summary(port)}\n\n" + table(("command", "method", "idempotent", "promise"), rows)


def _signature(method: MethodSpec) -> str:
    signature = method.signature
    without_self = signature.replace(parameters=list(signature.parameters.values())[1:])
    return method.name + str(without_self).replace("'", "")
