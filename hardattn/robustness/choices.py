"""What can be chosen about robustness, for those who only name it: nothing slow is imported."""

ATTACK = "pgd"
"""Beside the names of `data.corruption_names.CORRUPTIONS`."""
EPSILON, STEPS = 10, 10
