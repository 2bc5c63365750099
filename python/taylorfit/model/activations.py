"""Activation functions by name."""

ACTIVATIONS = ("linear", "tanh", "sigmoid", "mtanh", "twist")
"""The position is ænet's code (and the engine's)."""
