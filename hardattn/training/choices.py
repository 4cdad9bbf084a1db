"""What can be chosen about trainings, for those who only name it: nothing slow is imported."""

TEACHER_SHARE = 0.5
"""Of a teacher's class probabilities in the labels."""
