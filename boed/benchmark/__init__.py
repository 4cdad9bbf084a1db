"""The yardstick: how near each combination of approximations comes to exact design, where that is known."""
