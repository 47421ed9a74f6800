#!/usr/bin/env python3
"""Both stacks side by side as one small SVG: time to the first token, gaps between tokens, good answers a second.

  bench/serving/plot.py RUN.json OUT.svg       RUN.json is what bench/serving/compare wrote

A dot is the median of the runs, its line goes from the least to the most. Light and dark by the reader's own setting.
"""
import json
import math
import pathlib
import statistics
import sys
from xml.sax.saxutils import escape

PANELS = [("first token, p99, ms", "ttft_ms", "p99", "log"), ("gap between tokens, p99, ms", "itl_ms", "p99", "log"),
          ("answers within limits, 1/s", "goodput", "requests_per_second", "linear")]
CLASSES = {"P/D": "pd", "standard": "standard"}
LEFT, WIDTH, GAP, TOP, ROW = 236, 180, 56, 58, 36  # px: names of rows; a panel; beside it; above; a row of two dots
STYLE = """text{font:12px system-ui,sans-serif;fill:#6e7781}.small{font-size:10px}.axis{stroke:#8c959f;stroke-opacity:.4}
.pd{fill:#12807a;stroke:#12807a}.standard{fill:#b85c1b;stroke:#b85c1b}.value{stroke:none}
@media(prefers-color-scheme:dark){text{fill:#9ea7b3}.pd{fill:#35b5aa;stroke:#35b5aa}.standard{fill:#e59552;stroke:#e59552}}"""


class Scale:
    """Values to pixels of a panel that begins at `start`."""

    def __init__(self, kind, values, start):
        self.log, self.start = kind == "log", start
        top = max(values, default=1) or 1
        if self.log:
            self.low, self.high = (round_(math.log10(v)) for round_, v in ((math.floor, min(values)), (math.ceil, top)))
            self.ticks = [10 ** e for e in range(self.low, self.high + 1)]
        else:
            step = 10 ** math.floor(math.log10(top))
            step *= next(m for m in (0.2, 0.5, 1, 2, 5) if top / (m * step) <= 4)
            self.low, self.high = 0, step * math.ceil(top / step)
            self.ticks = [step * i for i in range(round(self.high / step) + 1)]

    def __call__(self, value):
        at = math.log10(value) if self.log else value
        return self.start + WIDTH * (at - self.low) / ((self.high - self.low) or 1)


def rows_of(loads):
    return [(load["name"] if kind == "trace" else f"{kind}: {load['name']}", kind, load["stacks"])
            for load in loads for kind in next(iter(load["stacks"].values()))[0]]


def seen(stacks, stack, kind, field, share):
    return [run[kind][field][share] for run in stacks[stack] if run[kind][field]]


def text(x, y, words, extra=""):
    return f'<text x="{x:.0f}" y="{y:.0f}"{extra}>{escape(words)}</text>'


def mark(scale, values, y, name):
    middle, end = statistics.median(values), scale(max(values))
    shown = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
    return (f'<line class="{name}" x1="{scale(min(values)):.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle class="{name}" cx="{scale(middle):.1f}" cy="{y}" r="4"/>'
            f'<text class="{name} value small" x="{end + 7:.0f}" y="{y + 3.5}">{shown}</text>')


def panel(number, rows, bottom):
    title, field, share, kind = PANELS[number]
    start = LEFT + number * (WIDTH + GAP)
    everything = [v for _, name, stacks in rows for stack in CLASSES for v in seen(stacks, stack, name, field, share)]
    scale = Scale(kind, everything, start)
    out = [text(start, TOP - 18, title)]
    for tick in scale.ticks:
        x = scale(tick)
        out.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}"/>')
        out.append(text(x, bottom + 14, f"{tick:,.10g}", ' class="small" text-anchor="middle"'))
    for row, (_, name, stacks) in enumerate(rows):
        for place, (stack, css) in enumerate(CLASSES.items()):
            values = seen(stacks, stack, name, field, share)
            if values:
                out.append(mark(scale, values, TOP + row * ROW + 10 + 14 * place, css))
    return out


def draw(run):
    """The SVG of what compare recorded."""
    rows = rows_of(run["loads"])
    bottom = TOP + len(rows) * ROW
    width = LEFT + len(PANELS) * (WIDTH + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 44}" width="{width}" role="img">',
           "<title>Prefill and decode split (P/D) beside standard pods on equal cores</title>", f"<style>{STYLE}</style>"]
    for place, (stack, css) in enumerate(CLASSES.items()):
        out.append(f'<circle class="{css}" cx="{LEFT + 5 + 70 * place}" cy="14" r="4"/>' + text(LEFT + 14 + 70 * place, 18, stack))
    out += [text(LEFT - 12, TOP + row * ROW + 21, name, ' text-anchor="end"') for row, (name, _, _) in enumerate(rows)]
    for number in range(len(PANELS)):
        out += panel(number, rows, bottom)
    low, high = run["load_average"]
    runs = f"{run['runs']} runs" if run["runs"] > 1 else "one run"
    out.append(text(LEFT, bottom + 36, f"{run['date']}, {run['machine']}, {run['cpus']} CPUs, load average {low:.1f} to {high:.1f}, "
                    f"{runs} of {run['seconds']:g} s a load", ' class="small"'))
    return "\n".join([*out, "</svg>\n"])


if __name__ == "__main__":
    source, target = map(pathlib.Path, sys.argv[1:])
    target.write_text(draw(json.loads(source.read_text())))
