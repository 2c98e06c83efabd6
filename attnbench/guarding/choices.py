"""What a user may say of an attention. In a file without torch, since the command line needs it for its help."""

from enum import StrEnum


class Layout(StrEnum):
    """The order of the axes: B batch, T or S positions, D width, H heads."""

    BTD = "btd"
    TBD = "tbd"
    BHTD = "bhtd"


class Mask(StrEnum):
    """What a mask says."""

    ATTEND = "attend"  # True: may be attended to
    PADDING = "padding"  # True: padding, may not be attended to
    ADDITIVE = "additive"  # added to the logits: 0, or the lowest number where a position may not be attended to
    LENGTHS = "lengths"  # the number of valid positions of each sentence (B,), in place of a mask
    NONE = "none"  # the attention takes no mask


class Positions(StrEnum):
    """What the result depends on besides the contents."""

    NONE = "none"
    ABSOLUTE = "absolute"  # the positions of the keys
    RELATIVE = "relative"  # their distances from the query alone


class Score(StrEnum):
    """The scores without parameters."""

    DOT = "dot"
    SCALED_DOT = "scaled_dot"
    COSINE = "cosine"


class Device(StrEnum):
    """Where an attention is tested."""

    CPU = "cpu"
    CUDA = "cuda"
