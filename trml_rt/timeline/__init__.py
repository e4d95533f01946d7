"""The curve of a long video: an answer for each segment, with its text and its frames."""

from trml_rt.timeline.result import Period, Swing, Timeline, TimelineRow
from trml_rt.timeline.run import timeline

__all__ = ["Period", "Swing", "Timeline", "TimelineRow", "timeline"]
