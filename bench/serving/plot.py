"""The loads side by side as one SVG: time to the first token, gaps between tokens, goodput."""
import statistics

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# Seen on light and dark pages alike.
COLOURS = {"P/D": "#2a9d8f", "standard": "#e08a3c"}
INK = "#808890"
PANELS = [("first token, p99 (ms)", "ttft_ms", "p99", "log"), ("gap between tokens, p99 (ms)", "itl_ms", "p99", "log"),
          ("answers within limits (1/s)", "goodput", "requests_per_second", "linear")]


def values(runs, kind, field, share):
    return [r[kind][field][share] for r in runs if r[kind][field]]


def draw(results, file):
    """results: [(name of the load, {stack: [{kind: report}]})]."""
    rows = [(name if kind == "trace" else f"{kind}: {name}", kind, found)
            for name, found in results for kind in next(iter(found.values()))[0]]
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "baton", "font.family": "sans-serif", "font.size": 9,
                         "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
                         "ytick.color": INK})
    figure, panels = plt.subplots(1, len(PANELS), figsize=(10, 0.6 + 0.42 * len(rows)), sharey=True, layout="constrained")
    for panel, (title, field, share, scale) in zip(panels, PANELS):
        for place, (stack, colour) in enumerate(COLOURS.items()):
            for row, (_, kind, found) in enumerate(rows):
                seen = values(found[stack], kind, field, share)
                if not seen:
                    continue
                middle = statistics.median(seen)
                y = row + (place - 0.5) * 0.34
                panel.barh(y, middle, 0.3, color=colour, label=stack if row == 0 else None)
                panel.plot([min(seen), max(seen)], [y, y], color=INK, linewidth=1)
        panel.set_xscale(scale)
        panel.set_title(title, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [row[0] for row in rows])
    panels[0].invert_yaxis()
    panels[-1].legend(frameon=False, loc="lower right")
    figure.savefig(file, transparent=True, metadata={"Date": None})
