"""What can be chosen about trainings, for those who only name it: nothing slow is imported."""

TEACHER_SHARE = 0.5
"""Of a teacher's class probabilities in the labels."""
OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES, DECAY = ("cosine", "none", "one-cycle"), "decay"
"""Of the learning rate; the last is decay=G, see `hardattn.training.optimisers.factor_of`."""
SELECTIONS = ("nll", "accuracy")
"""By what of the validation images it is decided which weights are kept; the defaults come first."""
PRECISIONS = ("auto", "float32", "bfloat16")
"""Of products in training, see `data.gpu.mixed_precision`."""
UNCLIPPED = "none"
"""In the place of the largest norm of a gradient, where any is taken."""
