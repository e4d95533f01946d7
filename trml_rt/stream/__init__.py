"""Streams: answers on frames and texts as they come, each input on its own clock."""
