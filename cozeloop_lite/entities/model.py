"""What programs call on the models of the official package, which are pydantic's: the same methods, of both versions.

Pydantic itself is not needed, and nothing is validated.
"""

from __future__ import annotations

import copy
import json
from enum import Enum
from typing import Any, Container, Dict, Iterator, Mapping, TypeVar

M = TypeVar("M", bound="Model")
JsonObject = Dict[str, Any]

_DUMP_OPTIONS = ("include", "exclude", "exclude_none", "exclude_unset", "exclude_defaults", "by_alias")


class Model:
    """The methods of a dataclass that is read by ``from_dict``; going through it gives its names and values."""

    @classmethod
    def from_dict(cls: type[M], data: Mapping[str, Any]) -> M:
        """Read a dict."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Container[str] | None = None,
        exclude: Container[str] = (),
        exclude_none: bool = False,
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        **options: Any,
    ) -> JsonObject:
        """The fields as a dict, nested ones too. ``mode="json"``: with texts for the values of enumerations.

        ``include`` and ``exclude`` name fields of this entity. ``exclude_unset`` and ``exclude_defaults`` leave out
        what is None, as ``exclude_none`` does. Pydantic's other ``options`` change nothing.
        """
        exclude_none = exclude_none or exclude_unset or exclude_defaults
        dumped = {}
        for name, value in self:
            wanted = (include is None or name in include) and name not in (exclude or ())
            if wanted and not (value is None and exclude_none):
                dumped[name] = _dumped(value, mode, exclude_none)
        return dumped

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """The fields as JSON; ``options`` are those of :meth:`model_dump`."""
        return compact(self.model_dump(**{**options, "mode": "json"}), indent=indent)

    def dict(self, **options: Any) -> JsonObject:
        """As :meth:`model_dump`."""
        return self.model_dump(**options)

    def json(self, **options: Any) -> str:
        """The fields as JSON; ``options`` are those of :meth:`model_dump` and of ``json.dumps``."""
        dump_options = {name: options.pop(name) for name in _DUMP_OPTIONS if name in options}
        return compact(self.model_dump(**dump_options), **options)

    @classmethod
    def model_validate(cls: type[M], obj: Any, **options: Any) -> M:
        """An entity from a dict; an entity stays what it is. Pydantic's ``options`` change nothing."""
        return obj if isinstance(obj, cls) else cls.from_dict(obj)

    @classmethod
    def model_validate_json(cls: type[M], json_data: str | bytes, **options: Any) -> M:
        """An entity from JSON. Raises ``ValueError`` when it is none."""
        return cls.model_validate(json.loads(json_data))

    parse_obj = model_validate
    parse_raw = model_validate_json


def _dumped(value: Any, mode: str, exclude_none: bool) -> Any:
    if isinstance(value, Model):
        return value.model_dump(mode=mode, exclude_none=exclude_none)
    if isinstance(value, (list, tuple)):
        return [_dumped(item, mode, exclude_none) for item in value]
    if isinstance(value, Enum):
        return value.value if mode == "json" else value
    return copy.deepcopy(value)


def compact(value: Any, **options: Any) -> str:
    """JSON without blanks between its tokens; ``options`` are those of ``json.dumps``."""
    if options.get("indent") is None:
        options.setdefault("separators", (",", ":"))
    options.setdefault("ensure_ascii", False)
    options.setdefault("default", str)
    return json.dumps(value, **options)
