"""Answer on many machines: a class for `map_batches` of Ray Data, and for Spark's `mapInArrow`."""

from trml_rt.jobs.ray_data import Answers

__all__ = ["Answers"]
