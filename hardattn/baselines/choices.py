"""Choices of the networks on the whole image that a command line names before anything slow is imported."""

MEAN, MAX, FLATTEN = "mean", "max", "flatten"
POOLINGS = (MEAN, MAX, FLATTEN)
"""How the last map is read: see `hardattn.baselines.layers.read_out`."""
