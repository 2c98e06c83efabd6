"""The calls that attnbench makes to the classes that a user writes."""

from typing import NamedTuple


class Call(NamedTuple):
    """A call that attnbench makes: the method, its arguments, all by position, and what they are."""

    method: str
    arguments: tuple[str, ...]
    meaning: str
    required: bool = True


# The callers: attention.py for scores, scopes and normalisers, tasks/build.py and tasks/draw.py for tasks, and
# training/stack.py for models.
SCORE = Call("forward", ("query", "keys"), "query (B,T,D) and keys (B,S,D); it returns logits (B,T,S)")
PREPARE = Call("prepare", ("keys",), "keys (B,S,D); compare gets what it returns", required=False)
COMPARE = Call("compare", ("query", "prepared"), "query (B,T,D) and what prepare returned; it returns logits (B,T,S)")
SCOPE = Call(
    "forward",
    ("logits", "mask", "query", "lengths", "step"),
    "logits (B,T,S), mask (B,1,S) or None, query (B,T,D), lengths (B,) and the number of the first step; "
    "it returns weights (B,T,S)",
)
OBJECTIVE = Call(
    "objective",
    ("log_likelihood", "logits", "weights", "mask", "target_mask"),
    "log_likelihood (B,T), logits (B,T,S), weights (B,T,S), mask (B,1,S) or None and target_mask (B,T); "
    "it returns the loss ()",
    required=False,
)
# A score or a scope with a method start carries a state from one step to the next: the state is its last argument.
START_SCORE = Call("start", ("keys",), "keys (B,S,D), or what prepare returned; it returns the first state")
START_SCOPE = Call("start", ("values",), "values (B,S,D); it returns the first state")
UPDATE = Call("update", ("state", "weights"), "the state and the weights (B,1,S); it returns the state", required=False)
PENALTY = Call("penalty", ("weights",), "weights (B,T,S); it returns what the loss grows by, (B,T)", required=False)
NORMALISER = Call(
    "forward", ("logits", "mask"), "logits (B,T,S) and a mask (B,1,S), (B,T,S) or None; it returns weights (B,T,S)"
)
CHECK = Call(
    "check", ("length",), "a source length; it returns None, or the reason why there are no sources of this length"
)
EXAMPLES = "a NumPy generator, the source length and the number of examples; it returns attnbench.Examples"
GENERATE = Call("generate", ("random", "length", "count"), EXAMPLES)
# That it is missing is reported where the task is built.
UNSEEN = Call("generate_unseen", ("random", "length", "count"), EXAMPLES, required=False)
MODEL = (
    Call("encode", ("source", "lengths"), "source (B,S) and lengths (B,) or None; it returns memory and first state"),
    Call(
        "step",
        ("memory", "state", "previous", "index"),
        "memory, state, previous words (B,) and the number of the step; "
        "it returns the new state, logits (B,V) and weights (B,S)",
    ),
    Call(
        "forward",
        ("source", "lengths", "previous"),
        "source (B,S), lengths (B,) or None and previous words (B,T); it returns attnbench.Output",
    ),
    Call(
        "objective",
        ("output", "log_likelihood", "lengths", "target_mask"),
        "the Output of forward, log_likelihood (B,T), lengths (B,) or None and target_mask (B,T); "
        "it returns the loss ()",
    ),
)


def with_state(call: Call) -> Call:
    """The same call of a part that carries a state, which is the last argument."""
    meaning = f"{call.meaning.replace('; it returns', ', and the state; it returns')} and the state"
    return call._replace(arguments=(*call.arguments, "state"), meaning=meaning)
