"""The laws that an attention is tested against, in the order in which they are reported."""

from attnbench.guarding.checks import batches, gradients, masks, order, precision, values

ALL = (*batches.CHECKS, *masks.CHECKS, *order.CHECKS, *values.CHECKS, *gradients.CHECKS, *precision.CHECKS)
FIRST = ALL[0]  # that inputs are not written to: without it the others mean nothing
PADDING = masks.CHECKS[0]
