"""Where the numbers of a report come from: dates, versions, machines, seeds, time, and how to get them again."""

import shlex
from collections.abc import Iterable
from typing import Any

from attnbench.analysis.labels import text
from attnbench.analysis.report.data import ReportData
from attnbench.analysis.report.downloads import links, plain_links
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.tables import scrollable
from attnbench.errors import AttnbenchError
from attnbench.messages import NO_VALUE
from attnbench.store.provenance import Provenance, read
from attnbench.user_code import FILE

MOST_SEEDS = 40  # that are listed


def origin(data: ReportData) -> Html:
    """A table of facts, and the commands that train the run again."""
    trained = read(data.store.folder)
    facts = _facts(data, trained)
    rows = [element("tr", element("th", name, scope="row"), element("td", value)) for name, value in facts.items()]
    table = element("table", element("tbody", *rows), class_="plain")
    saved = [{"fact": name, "value": value} for name, value in facts.items()]
    commands = element("pre", element("code", "\n".join(_commands(data, trained))), tabindex=0)
    return joined(
        scrollable(table),
        plain_links(f"{data.store.name}-provenance", saved),
        element("h3", "To train it again"),
        commands,
        *_remarks(data),
    )


def _facts(data: ReportData, trained: list[Provenance]) -> dict[str, str]:
    seeds = sorted(set(data.frame["seed"].tolist()), key=lambda seed: (isinstance(seed, str), seed))
    listed = ", ".join(map(text, seeds[:MOST_SEEDS])) + (", …" if len(seeds) > MOST_SEEDS else "")
    dates = list(dict.fromkeys(one.date for one in trained))
    facts = {
        "trained": _distinct([dates[0], dates[-1]] if dates else [], " to "),
        "attnbench": _distinct(one.attnbench for one in trained),
        "git revision": _distinct(one.git or "none" for one in trained),
        "Python": _distinct(one.python for one in trained),
        "system": _distinct(one.system for one in trained),
        "CPU": _distinct(f"{one.cpu} ({one.cores} core{'s' * (one.cores != 1)})" for one in trained),
        "engine": _distinct(one.engine for one in trained),
        "seeds": f"{len(seeds)}: {listed}",
        "total time": _time(data),
    }
    return {name: value or "not recorded: trained by an earlier version" for name, value in facts.items()}


def _distinct(values: Iterable[str], between: str = "; ") -> str:
    return between.join(dict.fromkeys(values))


def _time(data: ReportData) -> str:
    """The training time of all cells. The seeds of a pack are trained together, and each has its share of the time."""
    timed = [record for record in data.records.values() if record["metrics"].get("seconds")]
    if not timed:
        return NO_VALUE
    packs = len(set(map(_pack, timed)))
    minutes, seconds = divmod(round(sum(record["metrics"]["seconds"] for record in timed)), 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{shown} of training, summed over {packs} pack{'s' * (packs != 1)}"


def _pack(record: dict[str, Any]) -> str:
    """What identifies the pack of a cell; the cell itself in a record of an earlier version, which has none."""
    together = record.get("pack") or {}
    return str(together.get("ids") or record["cell"])


def _commands(data: ReportData, trained: list[Provenance]) -> list[str]:
    name = shlex.quote(data.store.name)
    grid = shlex.quote(f"{data.store.name}.yaml")
    revision = trained[-1].git if trained else None
    checkout = [f"git checkout {revision.removesuffix('-dirty')}"] if revision else []
    # From a checkout, as the README installs it.
    install = [f"pip install ./attnbench  # version {trained[-1].attnbench}"] if trained else []
    run = [f"attnbench run {grid}", f"attnbench compare {name}", f"attnbench report {name}"]
    return [*checkout, *install, *run]


def _remarks(data: ReportData) -> list[Html]:
    """The grid file to save, and what the commands do not bring back."""
    try:
        saved = [links(data.store.name, YAML=data.store.grid_text())]
    except AttnbenchError:  # the section of the configuration says so
        saved = []
    lines = []
    if any((one.git or "").endswith("-dirty") for one in read(data.store.folder)):
        lines.append("-dirty: the repository had changes that were not committed.")
    own = {name for record in data.records.values() for name in record.get("code") or () if name.startswith(FILE)}
    if own:
        names = ", ".join(sorted(name.removeprefix(FILE) for name in own))
        lines.append(f"The grid needs your own files, which are not on this page: {names}.")
    if any(record["config"]["data"].get("path") for record in data.records.values()):
        lines.append("The grid names data files: save it in the folder from which their paths are relative.")
    return [*saved, *(element("p", line, class_="note") for line in lines)]
