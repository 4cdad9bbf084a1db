"""Sides of squares that have a name, for those who only name them: nothing slow is imported."""

ALL_SIDES = "all"
"""Those of `data.grid.doubling_sides`."""
