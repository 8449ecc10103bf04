"""Writing figures: SVG and PNG files, and the SVG text as it stands inside an HTML page.

Inside a page the figures share one document, so every id gets the figure's name as a prefix; namespace
declarations and metadata, which HTML does not need, are dropped, and with them the last mention of an address
on the network.
"""

import io
import re
from pathlib import Path

from superdyn.report.style import Drawing, drawing_style

_COORDINATES = re.compile(r'(?<= )((?:d|x|y)=")([^"]*)"')
_FRACTION = re.compile(r"(\.\d\d)\d+")
_METADATA = {"Date": None, "Creator": "superdyn"}


def write_figure(drawing: Drawing, folder: Path) -> str:
    """Write `folder/NAME.svg` and `folder/NAME.png`; return the SVG for use inside an HTML page."""
    with drawing_style():
        drawing.figure.savefig(folder / f"{drawing.name}.png", metadata={"Software": "superdyn"})
        # The layout found for the first file also serves the second: computing it takes most of the time.
        drawing.figure.set_layout_engine("none")
        buffer = io.StringIO()
        drawing.figure.savefig(buffer, format="svg", metadata=_METADATA)
    text = _COORDINATES.sub(_shortened, buffer.getvalue())
    (folder / f"{drawing.name}.svg").write_text(text, encoding="utf-8")
    return inline_svg(text, drawing.name)


def _shortened(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point, which no screen or printer shows; they are most of a figure's bytes."""
    return f'{attribute[1]}{_FRACTION.sub(_first, attribute[2])}"'


def _first(found: re.Match[str]) -> str:
    return found[1]


def inline_svg(text: str, name: str) -> str:
    """A stand-alone SVG document as an element of an HTML page."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace('xlink:href="#', f'href="#{name}-').replace("xlink:href=", "href=")
    return body.replace("url(#", f"url(#{name}-").strip()
