"""What can be chosen about posteriors, for those who only name it: nothing slow is imported."""

TORCHVISION = {
    "densenet121": "densenet121",
    "mobilenet_v2": "mobilenet_v2",
    "shufflenet_v2": "shufflenet_v2_x1_0",
}
"""Backbone -> its name in torchvision."""
BACKBONES = ("small", *TORCHVISION)
"""Networks of an AVP-CNN; the first is the default."""
