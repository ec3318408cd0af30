"""Configuration files: YAML in layers, and in each what single processes of a cluster have otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


class ConfigError(ValueError):
    """A setting that cannot work; the message is one line that names it."""


def layered(files: Sequence[dict[str, Any]], node: str = "") -> dict[str, Any]:
    """Files on top of one another, and in each its entry of `processes` for this node on top of the rest of the file.
    Without a `node` it is the one that the files name. Raises ConfigError."""
    named = [str(file["node"]) for file in files if file.get("node")]
    node = node or (named[-1] if named else "")
    layers: dict[str, Any] = {}
    for file in files:
        layers = merged(layers, file)
        processes = file.get("processes") or {}
        own = processes.get(node) if isinstance(processes, dict) else None
        if own is not None:
            if not isinstance(own, dict) or own.keys() & {"processes", "node"}:
                raise ConfigError(f"processes.{node}: must be a mapping of settings, without node and processes")
            layers = merged(layers, own)
    return layers


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two layers: mappings are merged key by key, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would silently keep the last alone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.YAMLError(f"{key.value!r} is there twice, in line {key.start_mark.line + 1} again")
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """One configuration file. Raises ConfigError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # a SafeLoader
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping of settings")
    return content
