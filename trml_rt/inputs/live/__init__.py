"""Live sources: cameras, streams of the network, pipes; a child process reads and decodes them."""

from trml_rt.inputs.live.events import Dropped, Event, Frame, State
from trml_rt.inputs.live.source import LiveSource, open_source

__all__ = ["Dropped", "Event", "Frame", "LiveSource", "State", "open_source"]
