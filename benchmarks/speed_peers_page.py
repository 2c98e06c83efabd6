"""Writes what was measured beside other toolkits."""

from collections.abc import Iterator
from statistics import mean, median
from typing import Any

Figures = dict[str, Any]
TO_25, BEYOND = 821, 179  # dev pairs of up to 25 symbols, and of more


def section(measured: Figures) -> list[str]:
    """attnbench, Joey NMT and yoyodyne on the same pairs."""
    f = measured["ours"]
    return [
        "## Beside Joey NMT and yoyodyne",
        "",
        "Joey NMT's reverse task: 50,000 training pairs of 1 to 25 integers below 50. Joey NMT 2.3.0 with its two "
        "shipped configurations, yoyodyne 0.5.27 with its attentive BiLSTM of the same sizes, one run each; seconds "
        "are those of training alone. attnbench trains several seeds on two workers; its seconds are those of the "
        "whole command without MLflow (start, training, validation, test), divided by its models. Its recurrent model "
        "(general, LSTM, input feeding, embedding 16) has width 80, which makes as many parameters as Joey NMT's; "
        "batches, rates and steps are its own, chosen by the exact match on the dev pairs of up to 25, which is what "
        "is compared. Beyond 25 are dev pairs for the others and test pairs for attnbench.",
        "",
        "| | parameters | batch | seconds per model | tokens/s | exact match to 25 | beyond 25 |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(_ours(name, f[name]) for name in ("rnn", "rnn, shorter", "transformer", "rnn, batch 64") if name in f),
        *_theirs(measured),
        "",
        *_ratios(measured),
        *(_until_99(measured) if {"tuned", "joey_seeds"} <= measured.keys() else []),
        "",
        f"Measured on {f['on']}.",
    ]


def _until_99(measured: Figures) -> Iterator[str]:
    """Training until .99 with a tuned rate and a few seeds, beside several seeds of Joey NMT."""
    tuned, runs = measured["tuned"], [one for one in measured["joey_seeds"].values() if isinstance(one, dict)]
    theirs = [one["seconds_to_threshold"] or one["seconds_training"] for one in runs if "seconds_training" in one]
    reached = sum(one.get("seconds_to_threshold") is not None for one in runs)
    for name, what in (("chosen", "without"), ("with tuning", "with")):
        one, matches = tuned[name], tuned[name]["exact match on dev, to 25"]
        per_model = one["wall seconds"] / one["models"]
        yield (
            f"- Until .99, {one['models']} seeds that stop by themselves, learning rate "
            f"{tuned['with tuning']['tuned'][0]['train.learning_rate']} chosen from "
            f"three by tuning: {per_model:.1f} s per model {what} the tuning ({one['wall seconds']:.0f} s in all); "
            f"{sum(match >= 0.99 for match in matches)} of them reached .99."
            + (f" That is {median(theirs) / per_model:.1f} times less." if theirs else "")
        )
    busy = tuned["chosen"]["busy"]
    shares = " and ".join(f"{100 * share:.0f} %" for share in busy)
    yield f"  The two workers had a pack for {shares} of the time; the rest is the start."
    if theirs:
        yield (
            f"  Joey NMT, recurrent, default threads, {len(theirs)} seeds: {', '.join(f'{s:.0f}' for s in theirs)} s "
            f"of training; {reached} of them reached .99 in its one epoch, for the others it is the whole epoch. "
            f"Measured on {measured['joey_seeds']['on']}."
        )


def _ours(name: str, one: Figures) -> str:
    dev, beyond = one["exact match on dev, to 25"], one["exact match on test, beyond"]
    per_model = one["wall seconds"] / one["models"]
    tokens = 2 * one["tokens per second and worker"]
    trained = name != "rnn, batch 64"
    match = f"{mean(dev):.3f} ({min(dev):.3f}–{max(dev):.3f})" if trained else "–"
    return (
        f"| attnbench {name}, {one['models']} seeds, 2 workers | {one['parameters']:,} | {one['batch']} | "
        f"{f'{per_model:.1f}' if trained else '–'} | {tokens:,.0f} | {match} | "
        f"{f'{mean(beyond):.2f}' if trained else '–'} |"
    )


def _theirs(measured: Figures) -> Iterator[str]:
    for part, toolkit, threads in (
        ("joey", "Joey NMT", "1 thread"),
        ("joey_default", "Joey NMT", "default threads"),
        ("yoyodyne", "yoyodyne", "1 thread"),
        ("yoyodyne_default", "yoyodyne", "default threads"),
    ):
        for model, one in measured.get(part, {}).items():
            if not isinstance(one, dict):
                continue
            label = f"{toolkit} {model}, {threads}"
            if "not measured" in one:
                yield f"| {label} | not measured | | | | | |"
                continue
            match = one["final_dev"]["exact_match"]
            batch = {"rnn": 10, "transformer": 24}.get(model, 64)
            yield (
                f"| {label} | {one['parameters']:,} | {batch} | {one['seconds_training']:.0f} | "
                f"{one['tokens_per_second']:,.0f} | {match['right_to_25'] / TO_25:.3f} | "
                f"{match['right_beyond'] / BEYOND:.2f} |"
            )


def _ratios(measured: Figures) -> Iterator[str]:
    """How many times as fast: against each run of Joey NMT, and the faster of yoyodyne's."""
    f = measured["ours"]
    for label, part, model, names in (
        ("Joey NMT, recurrent, 1 thread,", "joey", "rnn", ("rnn", "rnn, shorter")),
        ("Joey NMT, recurrent, default threads,", "joey_default", "rnn", ("rnn",)),
        ("Joey NMT, Transformer, 1 thread,", "joey", "transformer", ("transformer",)),
    ):
        theirs = measured.get(part, {}).get(model, {})
        if "seconds_training" not in theirs:
            continue
        end = theirs["final_dev"]["exact_match"]["right_to_25"] / TO_25
        to_99 = theirs["seconds_to_threshold"]
        reached = f"; .99 after {to_99:.0f} s" if to_99 else "; .99 at no evaluation"
        yield f"- {label} took {theirs['seconds_training']:.0f} s and ended at {end:.3f}{reached}."
        for name in (name for name in names if name in f):
            one, matches = f[name], f[name]["exact match on dev, to 25"]
            ratio = (to_99 or theirs["seconds_training"]) * one["models"] / one["wall seconds"]
            goals = [sum(match >= goal for match in matches) for goal in (end, 0.99)]
            yield (
                f"  attnbench, {one['steps']:,} steps: {ratio:.1f} times less per model; {goals[0]} of its "
                f"{one['models']} models ended at {end:.3f} or above, {goals[1]} at .99 or above."
            )
    rates = [
        measured[part]["rnn, batch 64"]["tokens_per_second"]
        for part in ("yoyodyne", "yoyodyne_default")
        if "tokens_per_second" in measured.get(part, {}).get("rnn, batch 64", {})
    ]
    if rates:
        one = f["rnn, batch 64"]["tokens per second and worker"]
        yield (
            f"- Tokens per second at batch 64: {2 * one / max(rates):.1f} times yoyodyne's with two workers, "
            f"{one / max(rates):.1f} times with one."
        )
