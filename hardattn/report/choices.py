"""What can be chosen about reports, for those who only name it: nothing slow is imported."""

IMAGES = 6
"""Test images of each task that are shown glimpse by glimpse."""
