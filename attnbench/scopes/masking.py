"""The functions of attnbench/masking.py, under the name that plugins import."""

from attnbench.masking import log_weights_of, masked_log_softmax, masked_softmax, valid_positions

__all__ = ["log_weights_of", "masked_log_softmax", "masked_softmax", "valid_positions"]
