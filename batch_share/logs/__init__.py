"""What a run tells programs and logs of itself: events with fields, through the standard logger `batch_share`.

Nothing of structlog or logging is configured for the whole process: a program keeps its own. Without a handler the
events go nowhere.
"""

from batch_share.logs.events import LOGGER, about, bind_run, log
from batch_share.logs.masking import masked

__all__ = ["LOGGER", "about", "bind_run", "log", "masked"]
