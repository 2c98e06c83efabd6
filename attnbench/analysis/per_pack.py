"""Metrics that are measured once for a pack, such as its time: one measurement, whatever its number of seeds."""

from statistics import fmean
from typing import TYPE_CHECKING

from attnbench.analysis.labels import label_columns, values_of
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    import pandas as pd


def measurements(frame: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """The rows of the frame; of a metric that is measured per pack, one row for the done cells of each pack.

    This row is that of the first seed, with the mean over the seeds. Cells of earlier versions, of which it is not
    known with which others they were trained, count as one pack.
    """
    if not metric_of(metric).per_pack:
        return frame
    names = [name for name in label_columns(frame) if name != "seed"]
    packs = values_of(frame, "pack") if "pack" in frame.columns else [None] * len(frame)
    keys = zip(packs, *(values_of(frame, name) for name in names), strict=True)
    values = values_of(frame, metric)
    of_packs: dict[tuple[object, ...], list[int]] = {}
    others = []  # failed cells, which have no measurement
    for place, (key, status) in enumerate(zip(keys, frame["status"].tolist(), strict=True)):
        if status == "done" and values[place] is not None:
            of_packs.setdefault(key, []).append(place)
        else:
            others.append(place)
    means = {places[0]: fmean(float(values[place]) for place in places) for places in of_packs.values()}
    kept = sorted([*means, *others])
    reduced = frame.iloc[kept].copy()
    reduced[metric] = [means.get(place) for place in kept]
    return reduced
