"""Draw the bars of the benchmarks as SVG; run by the Python of the peers' environment, which has matplotlib.

python benchmarks/chart.py OUT < BARS      (JSON, as `report.chart` makes it)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import matplotlib

OURS, OTHERS = "#00796b", "#9e9e9e"
BAR_INCHES = 0.36


def main(out: str, chart: Mapping[str, Any]) -> None:
    """Write the chart to *out*; the same bars give the same bytes."""
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "trunkline", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot

    bars = chart["bars"]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + BAR_INCHES * len(bars)), layout="constrained")
    drawn = axes.barh(
        [bar["label"] for bar in bars],
        [bar["seconds"] for bar in bars],
        color=[OURS if bar["is_ours"] else OTHERS for bar in bars],
    )
    axes.bar_label(drawn, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_title(chart["title"], loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.patch.set_facecolor("white")
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
