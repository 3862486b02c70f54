"""Structured pruning: channels leave the network, and the weights that remain are solved anew from unlabelled samples."""

from edgec.compress.pruning.prune import prune

__all__ = ["prune"]
