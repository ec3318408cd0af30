"""What can be read off a port: its methods, their commands, and types that encode their arguments and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast, get_type_hints

import msgspec

from xinyu.kernel.port import Port, mark_of


class Reserved(msgspec.Struct, kw_only=True):
    """What a request's body may hold beside the method's arguments; such keys start with `$`."""

    reserved_deadline_ms: int | None = msgspec.field(default=None, name="$deadline_ms")
    """Milliseconds that were left to the caller when it sent."""


class PortError(TypeError):
    """A port that no stub can be derived from; found at start-up."""


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One method of a port."""

    port: str
    name: str
    command: int
    idempotent: bool
    signature: inspect.Signature
    request_type: type[Reserved]
    named: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]
    """Arguments as a call gives them → by name."""
    encode_request: Callable[[dict[str, Any]], bytes]
    decode_request: Callable[[bytes], tuple[dict[str, Any], int | None]]
    """A body → the arguments and `$deadline_ms`. Raises one of wire.UNREADABLE."""
    encode_result: Callable[[Any], bytes]
    decode_result: Callable[[bytes], Any]

    @property
    def label(self) -> str:
        """`MessagePort.send`: for metrics and logs."""
        return f"{self.port}.{self.name}"


@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port and its methods by name."""

    port: type[Port]
    methods: dict[str, MethodSpec]


@cache
def spec_of(port: type[Port]) -> PortSpec:
    """Read `port`. Raises PortError where it could not be called over a wire."""
    methods: dict[str, MethodSpec] = {}
    taken: dict[int, str] = {}
    for name, function in inspect.getmembers(port, inspect.isfunction):
        if name.startswith("_"):
            continue
        spec = _read_method(port, name, function)
        if spec.command in taken:
            raise PortError(f"{spec.label} and {taken[spec.command]} share command {spec.command}")
        taken[spec.command] = spec.label
        methods[name] = spec
    if not methods:
        raise PortError(f"{port.__name__} has no methods")
    return PortSpec(port, methods)


def _read_method(port: type[Port], name: str, function: Callable[..., Any]) -> MethodSpec:
    label = f"{port.__name__}.{name}"
    mark = mark_of(function)
    if mark is None:
        raise PortError(f"{label} has no @rpc mark")
    if not inspect.iscoroutinefunction(function):
        raise PortError(f"{label} is not async")
    if not inspect.getdoc(function):
        raise PortError(f"{label} has no docstring")
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise PortError(f"{label}: {error}") from error
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1:]
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise PortError(f"{label}: parameter {parameter.name} cannot travel by name")
        if parameter.name not in hints:
            raise PortError(f"{label}: parameter {parameter.name} has no type")
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hints[parameter.name]))
        else:
            fields.append((parameter.name, hints[parameter.name], parameter.default))
    if "return" not in hints:
        raise PortError(f"{label} has no return type")
    request_type = cast(
        type[Reserved], msgspec.defstruct(f"{port.__name__}_{name}", fields, bases=(Reserved,), kw_only=True)
    )
    return _with_codecs(port, name, mark.command, mark.idempotent, signature, request_type, hints["return"])


def _with_codecs(
    port: type[Port],
    name: str,
    command: int,
    idempotent: bool,
    signature: inspect.Signature,
    request_type: type[Reserved],
    returns: Any,
) -> MethodSpec:
    encoder = msgspec.json.Encoder()
    try:
        request_decoder = msgspec.json.Decoder(request_type)
        result_decoder = msgspec.json.Decoder(returns)
    except TypeError as error:
        raise PortError(f"{port.__name__}.{name}: {error}") from error
    names = tuple(signature.parameters)[1:]

    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def decode_request(body: bytes) -> tuple[dict[str, Any], int | None]:
        request = request_decoder.decode(body)
        return {field: getattr(request, field) for field in names}, request.reserved_deadline_ms

    return MethodSpec(
        port=port.__name__,
        name=name,
        command=command,
        idempotent=idempotent,
        signature=signature,
        request_type=request_type,
        named=named,
        encode_request=encoder.encode,
        decode_request=decode_request,
        encode_result=encoder.encode,
        decode_result=result_decoder.decode,
    )
