"""Line and dot charts as SVG, readable on light and dark pages."""

import math
from dataclasses import dataclass, field
from html import escape


@dataclass
class Plot:
    """Series of (x, y) by label. `dots` draws points without lines."""

    title: str
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    dots: bool = False
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, label: str, x: float, y: float) -> None:
        self.series.setdefault(label, []).append((x, y))


WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 44, 52
# Ours first, in the strongest colour; all are told apart on white and on black.
COLOURS = ("#d9480f", "#1c7ed6", "#2f9e44", "#9c36b5", "#868e96", "#c99400")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8886; stroke-width: 1 }
.axis { stroke: #888 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


@dataclass
class Scale:
    """Maps values to pixels."""

    low: float
    high: float
    start: float
    stop: float
    log: bool

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high = math.log10(low), math.log10(high)
            value = math.log10(max(value, self.low))
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """1, 2, 5 of each power of ten, thinned to powers alone when they are many."""
        if not self.log:
            step = 10 ** math.floor(math.log10(self.high / 4))
            step *= next(f for f in (1, 2, 5, 10) if self.high / (step * f) <= 7)
            return [step * number for number in range(math.floor(self.high / step) + 1)]
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1,) if len(exponents) > 5 else (1, 2, 5)
        values = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        return [value for value in values if self.low <= value <= self.high * 1.001]


def scale(values: list[float], log: bool, start: float, stop: float) -> Scale:
    """A scale that holds all values; a logarithmic one has none below 0.1."""
    if log:
        return Scale(max(min(values), 0.1) / 1.1, max(values) * 1.1, start, stop, log)
    return Scale(0, max(values) * 1.05, start, stop, log)


def draw(plot: Plot) -> str:
    """The chart as a document."""
    points = [point for series in plot.series.values() for point in series]
    across = scale([x for x, _ in points], plot.log_x, LEFT, WIDTH - RIGHT)
    up = scale([y for _, y in points], plot.log_y, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(plot.title)}</title><style>{STYLE}</style>",
        text(LEFT, 22, plot.title, "start", "title"),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, plot.x_label),
        f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">'
        f"{text(0, 0, plot.y_label)}</g>",
    ]
    for x in across.ticks():
        parts.append(line(across(x), TOP, across(x), HEIGHT - BOTTOM, "grid"))
        parts.append(text(across(x), HEIGHT - BOTTOM + 18, f"{x:,.10g}"))
    for y in up.ticks():
        parts.append(line(LEFT, up(y), WIDTH - RIGHT, up(y), "grid"))
        parts.append(text(LEFT - 8, up(y) + 4, f"{y:,.10g}", "end"))
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    for number, (label, series) in enumerate(plot.series.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += marks([(across(x), up(y)) for x, y in series], colour, plot.dots)
        row = TOP + 12 + number * 22
        parts.append(f'<circle cx="{WIDTH - RIGHT + 20}" cy="{row - 4}" r="5" fill="{colour}"/>')
        parts.append(text(WIDTH - RIGHT + 32, row, label, "start"))
    return "\n".join([*parts, "</svg>", ""])


def marks(points: list[tuple[float, float]], colour: str, dots: bool) -> list[str]:
    """The points of one series, and the line through them."""
    parts = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    if not dots:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f'fill="none" stroke="{colour}" stroke-width="2"'
        parts.append(f'<polyline points="{path}" {style}/>')
    return parts


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "") -> str:
    head = f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"{head}{f' class={kind!r}' if kind else ''}>{escape(words)}</text>"
