"""cozeloop_lite: a small, synchronous SDK for CozeLoop (扣子罗盘)."""

from __future__ import annotations

__version__ = "0.1.0"
