"""Pictures of DOT source: .svg, .png, .pdf, or the source itself as .dot.

Graphviz draws them: the system's `dot` where there is one, else `graphviz-pure`, which the [viz] extra
installs. That is Graphviz 16.1 ported to Rust, one executable that carries its own fonts (as wide as Times,
Helvetica and Courier), so its pictures do not depend on the machine's. 6 MB, for Linux (glibc or musl), macOS
and Windows on x86-64 and ARM, any Python 3; EPL-2.0. Of 40 nodes, an .svg takes 0.02 s and a .png 0.1 s.
pygraphviz 2.0, the other wheel with a Graphviz in it, has libraries but no executable. On a bare Debian it
cannot be imported (no libgobject, no libX11), without fonts its text is boxes, its layout changes with the
fonts there are, and a crash in its C code would be one of the user's process.

The port has no .pdf and the system's holds the time of day, so a .pdf is painted from the layout (pdf.py).
All three show Latin, Greek, Cyrillic and the common signs; for Chinese, Japanese or Korean take an .svg.

Name one of the three fonts in the source: for any other, and for a list, the port lays out Times.
"""

import contextlib
import json
import os
import shutil
import subprocess
import uuid
from importlib import metadata
from pathlib import Path

SUFFIXES = (".svg", ".png", ".pdf", ".dot")


def render(source: str, path) -> Path:
    """Draw DOT source to a file whose suffix says the format, and return its path."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"cannot render to '{path}': its suffix must be one of {', '.join(SUFFIXES)}")
    return write(path, draw(source, suffix[1:]))


def to_svg(source: str) -> str:
    """The SVG of DOT source, as a notebook shows it."""
    return draw(source, "svg").decode()


def draw(source: str, format: str) -> bytes:
    """The picture of DOT source: format is "svg", "png", "pdf" or "dot"."""
    if format == "dot":
        return source.encode()
    if format == "pdf":
        return _paint(json.loads(_graphviz(source, "json")))
    return _graphviz(source, format)


def write(path, data: bytes) -> Path:
    """Put the data at the path whole or not at all."""
    path = Path(path)
    scratch = path.with_name(f".{uuid.uuid4().hex}")  # not tempfile's, whose files only their owner can read
    try:
        scratch.write_bytes(data)
        os.replace(scratch, path)
    except OSError as error:
        reason = f"{error.strerror[0].lower()}{error.strerror[1:]}"
        raise type(error)(f"cannot write '{path}': {reason}") from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    return path


def _graphviz(source, format):
    """What `dot -Tformat` prints; its warnings, of fonts and unknown shapes, are dropped."""
    done = subprocess.run([_dot(), f"-T{format}"], input=source.encode(), capture_output=True)
    if done.returncode or not done.stdout:
        lines = done.stderr.decode(errors="replace").splitlines()
        told = [line.removeprefix("Error: ") for line in lines if not line.startswith("Warning: ")]
        raise ValueError(f"Graphviz cannot draw this source: {told[0] if told else 'it holds no graph'}")
    return done.stdout


def available():
    """The path of the Graphviz that draws: the system's dot, else that of the wheel; None without."""
    return shutil.which("dot") or _wheels_dot()


def _dot():
    found = available()
    if found is None:
        raise ImportError("drawing needs Graphviz: pip install 'mytorch-autograd[viz]'")
    return found


def _wheels_dot():
    """The path of graphviz-pure's executable, which need not be on PATH in a virtual environment."""
    try:
        files = metadata.files("graphviz-pure") or ()
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.stem == "graphviz-pure"), None)


def _paint(layout):
    try:
        from .pdf import paint
    except ImportError as error:
        raise ImportError("drawing a .pdf needs matplotlib: pip install 'mytorch-autograd[viz]'") from error
    return paint(layout)
