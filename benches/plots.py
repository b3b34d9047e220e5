"""Draws series as SVG: a panel for each verb, a colour for each store, solid for cfg-engine and dashed for by hand.

No colour of a background and mid tones only, so a drawing reads on light pages and on dark ones."""

import math
from html import escape

COLOURS = {"sqlite": "#2f81c7", "postgres": "#c2691c", "mongodb": "#2c9a4b"}
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mongodb": "MongoDB"}
INK, GRID = "#7d7d7d", "#7d7d7d40"
WIDTH, HEIGHT, LEFT, TOP, BELOW, ACROSS = 250, 170, 58, 34, 46, 3


def shown(seconds):
    """A time with three digits and its unit."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def text(x, y, words, anchor="middle", size=11, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}"{extra}>{escape(words)}</text>'


def line(points, colour, width=1.0, extra=""):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{extra}/>'


class Axis:
    """Takes values to places: by their logarithm, or evenly where zero is among them."""

    def __init__(self, values, log, start, end):
        self.log, self.start, self.end = log, start, end
        if log:
            self.low, self.high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
            self.high = max(self.high, self.low + 1)
            self.ticks = [10.0**n for n in range(self.low, self.high + 1)]
        else:
            step = 10 ** math.floor(math.log10(max(values) / 2))
            step *= next(n for n in (1, 2, 5, 10) if max(values) / (step * n) <= 5)
            self.low, self.high = 0, step * math.ceil(max(values) / step)
            self.ticks = [step * n for n in range(round(self.high / step) + 1)]

    def fit(self, values):
        """Ends where the values end, as the axis of what was set does."""
        if self.log:
            self.low, self.high = math.log10(min(values)), math.log10(max(values))
        else:
            self.low, self.high = 0, max(values)
        return self

    def at(self, value):
        share = ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def panel(left, top, title, curves, log, label, unit):
    """One verb: {(store, by): [(x, median, low, high)]}."""
    points = [point for curve in curves.values() for point in curve]
    xs = sorted({point[0] for point in points})
    x = Axis(xs, log, left + 8, left + WIDTH - 14).fit(xs)
    y = Axis([value for point in points for value in point[1:]], log, top + HEIGHT, top)
    drawn = [text(left + WIDTH / 2, top - 10, title, size=12, extra=' font-weight="bold"')]
    for tick in y.ticks:
        drawn.append(line([(left, y.at(tick)), (left + WIDTH, y.at(tick))], GRID))
        drawn.append(text(left - 6, y.at(tick) + 4, shown(tick) if tick else "0", "end"))
    for tick in xs:
        drawn.append(line([(x.at(tick), top), (x.at(tick), top + HEIGHT)], GRID))
        # Evenly spaced labels only: 0, 1 and 5 ms would stand on one another.
        if log or tick == 0 or tick >= 5:
            drawn.append(text(x.at(tick), top + HEIGHT + 15, label(tick)))
    drawn.append(text(left + WIDTH / 2, top + HEIGHT + 31, unit))
    for (store, by), curve in curves.items():
        colour = COLOURS[store]
        dashes = ' stroke-dasharray="5 4"' if by == "by hand" else ""
        drawn.append(line([(x.at(point[0]), y.at(point[1])) for point in curve], colour, 1.8, dashes))
        for at, median, low, high in curve:
            drawn.append(line([(x.at(at), y.at(low)), (x.at(at), y.at(high))], colour, 1.2))
            words = escape(f"{NAMES[store]}, {by}, {label(at)}: {shown(median)}")
            fill = colour if by != "by hand" else "none"
            circle = f'<circle cx="{x.at(at):.1f}" cy="{y.at(median):.1f}" r="2.8" fill="{fill}" stroke="{colour}">'
            drawn.append(f"{circle}<title>{words}</title></circle>")
    return drawn


def legend(stores, has_hand):
    drawn, at = [], LEFT
    for store in stores:
        drawn += [line([(at, 16), (at + 24, 16)], COLOURS[store], 2.4), text(at + 30, 20, NAMES[store], "start", 12)]
        at += 50 + 8 * len(NAMES[store])
    for words, dashes in [("cfg-engine", ""), ("by hand", ' stroke-dasharray="5 4"')][: 1 + has_hand]:
        drawn += [line([(at, 16), (at + 24, 16)], INK, 1.8, dashes), text(at + 30, 20, words, "start", 12)]
        at += 50 + 8 * len(words)
    return drawn


def draw(path, panels, label, unit, log=True):
    """Writes the panels, in rows, to a file. `label` says what stands below a tick, `unit` below the axis."""
    across = min(ACROSS, len(panels))
    size = (across * (LEFT + WIDTH) + 12, 30 + math.ceil(len(panels) / across) * (TOP + HEIGHT + BELOW))
    stores = [store for store in COLOURS if any(store == key[0] for _, curves in panels for key in curves)]
    drawn = legend(stores, any(key[1] == "by hand" for _, curves in panels for key in curves))
    for n, (title, curves) in enumerate(panels):
        left, top = LEFT + n % across * (LEFT + WIDTH), 30 + TOP + n // across * (TOP + HEIGHT + BELOW)
        drawn += panel(left, top, title, curves, log, label, unit)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" height="{size[1]}"'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head} font-family="system-ui, sans-serif">\n' + "\n".join(drawn) + "\n</svg>\n")
