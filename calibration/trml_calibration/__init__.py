"""FP16 and INT8 graphs from FP32 ones: ranges, the search for an exact enough graph, lint."""
