"""How large it is on the disk, with all that comes with it: l. Without byte code."""

from __future__ import annotations

import os

# Of each library, the distribution that was asked for; opentelemetry takes two, and the first is the one people name.
OWN = {"cozeloop_lite": "cozeloop-lite", "opentelemetry": "opentelemetry-sdk"}
_NOT_COUNTED = frozenset(["pip", "setuptools", "wheel"])


def size(setup):
    """Bytes of the package, bytes of everything in its environment, and of how many packages that is."""
    from importlib import metadata

    sizes = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-")
        paths = [str(file.locate()) for file in distribution.files or () if "__pycache__" not in file.parts]
        if name not in _NOT_COUNTED:
            sizes[name] = sum(os.path.getsize(path) for path in paths if os.path.exists(path))
    return {
        "own_bytes": sizes[OWN.get(setup.library, setup.library)],
        "all_bytes": sum(sizes.values()),
        "packages": len(sizes),
    }
