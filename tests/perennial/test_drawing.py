"""Drawing: equal figures are equal bytes, of the size that was asked for, without a window."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from perennial.drawing import blank_figure, png, titled_axes

PNG = b"\x89PNG\r\n\x1a\n"


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(PNG)
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


@pytest.mark.parametrize("arranged", [True, False])
def test_a_figure_has_so_many_inches_of_so_many_points(arranged: bool) -> None:
    assert size_of(png(blank_figure(4, 3, arranged=arranged))) == (360, 270)
    assert size_of(png(blank_figure(4, 3, dpi=100, arranged=arranged))) == (400, 300)


def test_equal_numbers_are_equal_bytes_and_others_are_not() -> None:
    def drawn(*numbers: float) -> bytes:
        figure, axes = titled_axes("a line", 4, 3)
        axes.plot(numbers)
        return png(figure)

    assert drawn(1, 2, 3) == drawn(1, 2, 3) != drawn(1, 2, 4)


def test_nothing_of_matplotlib_is_loaded_before_something_is_drawn() -> None:
    code = "import sys, perennial.drawing; sys.exit('matplotlib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
