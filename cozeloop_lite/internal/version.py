"""The version as the official package writes it."""

from .. import __version__

VERSION = "v" + __version__
