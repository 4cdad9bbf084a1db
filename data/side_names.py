"""What can be said about sides of squares, for those who only name them: nothing slow is imported."""

ALL_SIDES = "all"
"""Those of `data.grid.doubling_sides`."""
MAGNIFICATION = 2.33
"""How many times as wide as a glimpse the image of affine crops is: 224 pixels, and glimpses of 96."""
