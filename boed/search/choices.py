"""What can be chosen about a search, for those who only name it: nothing slow is imported."""

SEARCHES = ("greedy", "beam", "lookahead")
"""One glimpse ahead, or several; the first is the default."""
COMPLETIONS = 100
"""N, completions per image and glimpse."""
