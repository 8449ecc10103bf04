"""Writing figures: SVG and PNG files, each at once, and the SVG text as it stands inside an HTML page.

Inside a page the figures share one document, so every id gets the figure's name as a prefix; namespace
declarations and metadata, which HTML does not need, are dropped, and with them the last mention of an address
on the network.
"""

import io
import re
from pathlib import Path

from superdyn.atomic import write_atomically
from superdyn.report.style import Drawing, drawing_style

_COORDINATES = re.compile(r'(?<= )((?:d|x|y)=")([^"]*)"')
_FRACTION = re.compile(r"(\.\d\d)\d+")
_METADATA = {"Date": None, "Creator": "superdyn"}


def write_figure(drawing: Drawing, folder: Path) -> str:
    """Write `folder/NAME.svg` and `folder/NAME.png`; return the SVG for use inside an HTML page."""
    png, buffer = io.BytesIO(), io.StringIO()
    with drawing_style():
        drawing.figure.savefig(png, format="png", metadata={"Software": "superdyn"})
        # The layout found for the first file also serves the second: computing it takes most of the time.
        drawing.figure.set_layout_engine("none")
        drawing.figure.savefig(buffer, format="svg", metadata=_METADATA)
    text = _COORDINATES.sub(_shortened, buffer.getvalue())
    for suffix, content in (("png", png.getvalue()), ("svg", text.encode())):
        write_whole(folder / f"{drawing.name}.{suffix}", content)
    return inline_svg(text, drawing.name)


def write_whole(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one; what can be drawn again need not wait for the disk."""
    write_atomically(path, lambda file: file.write(content), durable=False)


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
