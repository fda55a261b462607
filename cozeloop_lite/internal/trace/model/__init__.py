"""See :mod:`cozeloop_lite.internal`."""

from . import model as model
