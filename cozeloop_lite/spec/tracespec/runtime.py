"""The framework a span comes from."""

from __future__ import annotations

from typing import Any

from ...entities.entity import Entity, as_mapping, as_text, dataclass, read_by

__all__ = ["Runtime"]


@dataclass
class Runtime(Entity):
    """The framework a span comes from, for ``set_runtime``. Language and SDK version are always this library's."""

    language: str | None = read_by(as_text)
    library: str | None = read_by(as_text)
    scene: str | None = read_by(as_text)
    scene_version: str | None = read_by(as_text)
    library_version: str | None = read_by(as_text)
    loop_sdk_version: str | None = read_by(as_text)
    extra: dict[str, Any] | None = read_by(as_mapping)
