"""Writes what was simulated as results/decide.md."""

# What each part tests, with its heading; and what its table shows.
TEXTS = {
    "different": ("No difference", "", ""),
    "equivalent": ("A difference of the margin", "", ""),
    "unlike": ("Where the promise does not hold", "", ""),
    "power": ("Power and seeds", "", ""),
    "sameness": ("Equivalence: power and seeds", "", ""),
    "spending": ("What the exact test over all looks gains", "", ""),
    "passing": ("What passing error on gains", "", ""),
    "interval": ("The interval after an early stop", "", ""),
}

INTRODUCTION = ""
GRIDS = " grids each:"  # the end of the line before a part's tables


def page(tables: dict[str, list[str]]) -> str:
    """The page of the parts that were simulated."""
    lines = ["# As many seeds as it takes, simulated", "", *INTRODUCTION.strip().split("\n")]
    for name, (title, tested, shown) in TEXTS.items():
        if name in tables:
            lines += ["", f"## {title}", "", tested, "", shown, "", *tables[name]]
    return "\n".join(lines) + "\n"


def tables(text: str) -> dict[str, list[str]]:
    """The tables of a page, by part."""
    found = {}
    for name, (title, _, _) in TEXTS.items():
        _, there, section = text.partition(f"\n## {title}\n")
        lines = section.partition("\n## ")[0].rstrip().split("\n")
        if there:
            found[name] = lines[next(place for place, line in enumerate(lines) if line.endswith(GRIDS)) :]
    return found
