"""The shapes that the platform shows best, see :mod:`cozeloop_lite.spec.tracespec`."""

from . import tracespec as tracespec
