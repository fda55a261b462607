"""How large it is on the disk, with all that comes with it: l. Without byte code."""

from __future__ import annotations

import os

# Of each library, the distribution that was asked for; opentelemetry takes two, and the first is the one people name.
OWN = {"cozeloop_lite": "cozeloop-lite", "opentelemetry": "opentelemetry-sdk"}
_NOT_COUNTED = frozenset(["pip", "setuptools", "wheel"])


def size(setup):
    """Bytes of the package itself, bytes of everything in its environment, and of how many packages that is.

    "Itself" is without what the installer and the index have of it: its README, the list of its files.
    """
    from importlib import metadata

    own, sizes = {}, {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-")
        files = [file for file in distribution.files or () if "__pycache__" not in file.parts]
        if name not in _NOT_COUNTED:
            own[name] = _bytes(file for file in files if not file.parts[0].endswith(".dist-info"))
            sizes[name] = _bytes(files)
    return {
        "own_bytes": own[OWN.get(setup.library, setup.library)],
        "all_bytes": sum(sizes.values()),
        "packages": len(sizes),
    }


def _bytes(files):
    paths = [str(file.locate()) for file in files]
    return sum(os.path.getsize(path) for path in paths if os.path.exists(path))
