"""The section of results/speed.md about GPUs, from what benchmarks/gpu.py measured."""

from typing import Any

Figures = dict[str, Any]


def section(measured: Figures) -> list[str]:
    """The lines of the section."""
    card, steps = measured["card"], measured["steps"]
    return [
        "## On a GPU",
        "",
        f"`python benchmarks/gpu.py` on one {card['name']}, torch {card['torch']}, Python {card['python']}, "
        f"{card['date']}, commit {card['commit']}. Large matrix products reach {_tera(card['float32'])} TFLOP/s in "
        "float32, "
        f"{_tera(card['tf32'])} with TF32 and {_tera(card['bfloat16'])} in bfloat16; copies "
        f"{_tera(card['bytes per second'])} TB/s.",
        "",
        *_command(measured["command"]),
        *_packs(measured["packs"]),
        *_steps(steps, measured["compiled"]),
        *_correctness(measured["correctness"]),
    ]


def _tera(value: float) -> str:
    return f"{value / 1e12:.3g}"


def _command(command: Figures) -> list[str]:
    return [
        f"The whole command, quickstart.yaml with 64 seeds and without MLflow, start and tables included: "
        f"{one['models']:,} models in {one['seconds']:.0f} s with {workers}, {one['models per hour']:,.0f} per hour."
        for workers, one in command.items()
    ]


def _packs(packs: Figures) -> list[str]:
    rows = [
        f"| {label} | {one['seconds']:.1f} s | {one['training']:.1f} s | {one['parts']['_validate']:.1f} s | "
        f"{one['models per hour']:,.0f} | {one['exact match']:.3f} |"
        for label, one in packs.items()
    ]
    return [
        "",
        "A pack of quickstart's additive in one process, from its start to its results. The first one also starts "
        "CUDA, which takes some seconds.",
        "",
        "| seeds, task | wall time | training | validation | models per hour | exact match |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
    ]


def _steps(steps: Figures, compiled: Figures) -> list[str]:
    rows = []
    for label, one in steps.items():
        kernels = one["kernels"] or {"number": None, "microseconds": 0.0}
        rows.append(
            f"| {label} | {1000 * one['seconds']:.1f} ms | {1000 * one['seconds without data']:.1f} ms | "
            f"{one['words per second'] / 1e6:.2f} million | {one['flops per second'] / 1e12:.2f} | "
            f"{one['megabytes']:,.0f} | {kernels['number'] or ''} | "
            f"{1e-3 * kernels['microseconds']:.1f} ms |".replace("| 0.0 ms |", "| |")
        )
    base, many, most = (steps[f"{seeds} seeds, graphs"]["seconds"] for seeds in (1, 64, 512))
    return [
        "",
        "A training step of quickstart's additive on copy, length 10, batch 32: with its data made beside it, as in "
        "training, and without. `graphs` is how attnbench trains: captured CUDA graphs, matrix products with TF32.",
        "",
        "| seeds | step | without data | words per second | TFLOP/s | MB | kernels | their time |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"- A step of 64 seeds takes {many / base:.1f} times, one of 512 {most / base:.1f} times the time of one seed.",
        "- Launched one by one the kernels take ten to twenty times as long as they compute; a graph launches them "
        "together. bfloat16 is slower than TF32 at this size, since the numbers have to be converted.",
        f'- `torch.compile(mode="reduce-overhead")` took {compiled["compiling"]:.0f} s for one source length, and a '
        f"step of 64 seeds then {1000 * compiled['seconds without data']:.1f} ms, so that it is not used.",
    ]


def _correctness(found: Figures) -> list[str]:
    def worst(name: str) -> tuple[float, str]:
        return max((one[name], label) for label, one in found.items())

    graphs = sum("remark" not in one and "error" not in one for one in found.values())
    return [
        "",
        f"Correctness, over {len(found)} combinations of model, score, scope and normaliser: the gradients on the GPU "
        f"differ from those in float64 on the CPU by at most {worst('float32')[0]:.0e} of their norm in float32 "
        f"({worst('float32')[1]}) and {worst('tf32')[0]:.0e} with TF32 ({worst('tf32')[1]}). {graphs} are captured as "
        f"graphs; after four steps their weights differ from those without graphs by at most {worst('graphs')[0]:.0e}.",
    ]
