"""An object that stands for another one: it has all that the other has, and passes on all that is done to it.

``isinstance`` finds the other's class, ``hasattr`` its attributes and no others, and frameworks that look at the type
for special methods find exactly those that the other's type has.
"""

from __future__ import annotations

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

# What makes the object itself, and not what is done to it.
_MAKING = "new init del getattribute getattr setattr delattr class class_getitem init_subclass subclasshook"
_NOT_PASSED_ON = frozenset("__%s__" % name for name in _MAKING.split())

_classes: weakref.WeakKeyDictionary[type, dict[int, type]] = weakref.WeakKeyDictionary()


class Proxy:
    """Made by :func:`standing_for`."""

    __slots__ = ("__weakref__", "_cozeloop_lite")  # one name, such as no other object has

    def __getattribute__(self, name: str) -> Any:
        return own(self).attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(own(self).source, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(own(self).source, name)


own: Callable[[Any], Any] = Proxy.__dict__["_cozeloop_lite"].__get__
"""What a proxy is about: an object with the ``source`` and a method ``attribute(proxy, name)``."""
_set_own = Proxy.__dict__["_cozeloop_lite"].__set__


def standing_for(about: Any, methods: dict[str, Any]) -> Any:
    """A proxy for ``about.source``; ``methods`` replace the special methods of these names, if it has them."""
    kind = type(about.source)
    made = _classes.setdefault(kind, {})
    cls = made.get(id(methods))
    if cls is None:
        cls = made[id(methods)] = _class_for(kind, methods)
    proxy: Any = object.__new__(cls)
    _set_own(proxy, about)
    return proxy


def _class_for(kind: type, methods: dict[str, Any]) -> type:
    body: dict[str, Any] = {"__slots__": ()}
    for name in dir(kind):
        if name[:2] == name[-2:] == "__" and name not in _NOT_PASSED_ON and callable(getattr(kind, name, None)):
            body[name] = methods.get(name) or _passed_on(name)
    return type(kind.__name__, (Proxy,), body)


def _passed_on(name: str) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        source = own(args[0]).source
        return getattr(type(source), name)(source, *args[1:], **kwargs)

    return method
