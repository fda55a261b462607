"""Names that programs import from inside the official package, ``cozeloop.internal``, under the same paths.

Only these; nothing of this library is implemented here, and nothing of it is loaded before a program asks for it.
"""

from .. import __version__ as __version__
from . import consts as consts
from . import trace as trace
from . import version as version
