"""What can be chosen about objectives, for those who only name it: nothing slow is imported."""

from __future__ import annotations

from collections.abc import Sequence

LossAt = str | Sequence[float]
"""A name of `LOSS_AT`, or a weight for each number of glimpses 1 to T."""
LOSS_AT = ("every", "last", "both")
"""Cross-entropy of every prediction, of the last, or the mean of these two losses."""
REINFORCE_LOSSES = ("likelihood", "distance")
"""Of a Gaussian policy."""
IMITATE_FOR = 0.7
"""Share of the budget, before REINFORCE takes over."""
GAIN_TARGETS = ("realised", "design", "entropy")
"""What a glimpse is predicted to gain."""
