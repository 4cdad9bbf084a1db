"""What can be chosen about objectives, for those who only name it: nothing slow is imported."""

from __future__ import annotations

from collections.abc import Sequence

LossAt = str | Sequence[float]
"""A name of `LOSS_AT`, or a weight for each number of glimpses 1 to T."""
LOSS_AT = ("every", "after", "last", "both")
"""Cross-entropy of every prediction, of all after a glimpse, of the last, or the mean of every and last."""
REINFORCE_LOSSES = ("likelihood", "distance")
"""Of a Gaussian policy."""
IMITATE_FOR = 0.7
"""Share of the budget, before REINFORCE takes over."""
GAIN_TARGETS = ("realised", "design", "entropy")
"""What a glimpse is predicted to gain."""
PONDER_COST = 0.01
"""Nats for each glimpse, of a network that halts."""
AUXILIARY = 0.6
"""Share of the loss of MultiGlimpse that is the cross-entropy of its auxiliary classifier."""
