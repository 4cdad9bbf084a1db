"""What can be chosen about estimators, for those who only name it: nothing slow is imported."""

MEMORY_GB = 4.0
"""For what is kept of a bank."""
