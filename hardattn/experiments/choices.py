"""What can be chosen about experiments, for those who only name it: nothing slow is imported."""

MINUTES = 60.0
"""Of training, for all networks of an experiment together."""
SEEDS = 3
"""Of networks, counted from the first: one alone does not say how far others are from it."""
BENCHMARK_MINUTES = 10.0
"""Of `hardattn benchmark`, for everything."""
