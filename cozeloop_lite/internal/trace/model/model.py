"""What ``new_client`` takes: ``from cozeloop.internal.trace.model.model import FinishEventInfo, QueueConf``."""

from ....config import QueueConf, TagTruncateConf
from ....trace.events import FinishEventInfo, FinishEventInfoExtra

__all__ = ["FinishEventInfo", "FinishEventInfoExtra", "QueueConf", "TagTruncateConf"]
