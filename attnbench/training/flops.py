"""Counts the floating-point operations of matrix products and convolutions."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Flops(TorchDispatchMode):
    """Counts the operations in a block, by torch's own formulas, forward and backward; elementwise ones do not count.

    It gives the same number as torch.utils.flop_counter.FlopCounterMode, whose first use imports torch's compiler: that
    takes more than a second in each worker.

    Attributes:
        total: the operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch's compiler has to be imported, so that it leaves this mode alone; nothing is compiled here."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls an operation and adds what it takes."""
        del types
        options = kwargs or {}
        result = func(*args, **options)
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **options, out_val=result)
        return result
