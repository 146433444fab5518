"""A picture of the benchmarks: bars of ratios over a logarithmic scale, and small curves. Every
bar and point has its figure beside it, so that no colour or grid has to be read."""

import math
from html import escape

WIDTH = 900
LEFT = 430
BAR = 22
CURVE_WIDTH, CURVE_HEIGHT = 280, 110


class Drawing:
    def __init__(self):
        self.parts = []
        self.height = 10
        self.curves = 0

    def text(self, x, y, words, more=""):
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escape(words)}</text>')

    def ratios(self, title, bars):
        """`bars`: what, how many times, of whom. The line is at once."""
        if not bars:
            return
        self.height += 20
        self.text(10, self.height, title, 'font-weight="bold"')
        most = max(10.0, *(ratio for _, ratio, _ in bars))
        least = min(0.5, *(ratio for _, ratio, _ in bars))
        room = WIDTH - LEFT - 130

        def place(ratio):
            return LEFT + room * math.log(ratio / least) / math.log(most / least)

        top = self.height + 8
        for about, ratio, whom in bars:
            y = self.height + 10
            self.text(LEFT - 8, y + 13, about, 'text-anchor="end"')
            left, right = sorted((place(1), place(ratio)))
            self.parts.append(
                f'<rect x="{left:.1f}" y="{y}" width="{max(1, right - left):.1f}" height="{BAR - 6}"/>'
            )
            self.text(max(left, right) + 6, y + 13, f"{ratio:g} x {whom}")
            self.height += BAR
        self.parts.append(
            f'<line x1="{place(1):.1f}" y1="{top}" x2="{place(1):.1f}" y2="{self.height + 8}"/>'
        )
        self.height += 20

    def curve(self, title, xs, values):
        """Over the decades of `xs`, from zero up."""
        column = self.curves % 3
        if column == 0:
            self.height += CURVE_HEIGHT + 50
        self.curves += 1
        x0 = 20 + column * (CURVE_WIDTH + 15)
        y0 = self.height - 20
        self.text(x0, y0 - CURVE_HEIGHT + 2, title, 'font-weight="bold"')
        span = max(xs) - min(xs) or 1
        most = max(values) or 1
        points = [
            (x0 + 20 + (CURVE_WIDTH - 70) * (x - min(xs)) / span, y0 - (CURVE_HEIGHT - 40) * value / most)
            for x, value in zip(xs, values)
        ]
        self.parts.append(f'<line x1="{x0}" y1="{y0}" x2="{x0 + CURVE_WIDTH - 20}" y2="{y0}"/>')
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none"/>')
        for (x, y), at, value in zip(points, xs, values):
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
            figure = f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
            self.text(x, y - 6, figure, 'text-anchor="middle"')
            self.text(x, y0 + 14, f"10^{at:g}", 'text-anchor="middle"')

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height + 20}"'
            ' font-family="sans-serif" font-size="12" stroke-width="1">\n'
            "<style>rect,circle{fill:#35618f}line,polyline{stroke:#35618f}text{fill:#222}"
            "svg{background:#fff}</style>\n" + "\n".join(self.parts) + "\n</svg>\n"
        )
