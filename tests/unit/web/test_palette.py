"""The stylesheet in figures: contrast in light and dark, sizes of text and of what is touched (WCAG 2.2 AA)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = files("aauthkit.web").joinpath("static", "aauthkit.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\}", CSS, flags=re.DOTALL)
)

TEXT = [
    ("ink", "paper"),
    ("ink", "surface"),
    ("ink", "quoted"),
    ("ink", "accent-ground"),
    ("faint", "paper"),
    ("faint", "surface"),
    ("faint", "quoted"),
    ("accent", "paper"),
    ("accent", "surface"),
    ("on-accent", "accent"),
]
"""Text and what it stands on: 4.5 at least (§1.4.3)."""

SHAPES = [("edge", "surface"), ("edge", "paper"), ("edge", "quoted"), ("accent", "accent-ground"), ("accent", "quoted")]
"""The edge of a field, a button or a block, and the ring of the focus: 3 at least (§1.4.11)."""


def luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_is_the_one_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_text_can_be_read(palette: dict[str, str], text: str, ground: str) -> None:
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_can_be_seen(palette: dict[str, str], shape: str, ground: str) -> None:
    assert contrast(palette[shape], palette[ground]) >= 3


def test_both_palettes_name_the_same_colours_and_all_are_used() -> None:
    assert LIGHT.keys() == DARK.keys()
    used = set(re.findall(r"var\(--([a-z-]+)\)", CSS))
    assert used == LIGHT.keys()


def test_there_is_no_colour_outside_the_palette() -> None:
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(", rules)


def test_what_is_touched_is_44_pixels_high_and_text_is_16() -> None:
    for selector in ("button, .button", ".tick, .choice label", "summary", ".product"):
        rule = re.search(rf"^{re.escape(selector)} \{{(.*?)\}}", CSS, flags=re.DOTALL | re.MULTILINE)
        assert rule is not None, selector
        assert "min-height: 44px" in rule[1], selector
    assert "font: 100%/1.5 system-ui" in CSS
    small = [float(size) for size in re.findall(r"font-size: ([\d.]+)r?em", CSS)]
    assert min(small) >= 0.875


def test_the_two_voices_look_different() -> None:
    resource, agent = (re.search(rf"\.says\.{name} \{{(.*?)\}}", CSS) for name in ("resource", "agent"))
    assert resource is not None
    assert agent is not None
    assert "solid" in resource[1]
    assert "dashed" in agent[1]
    assert set(re.findall(r"background: ([^;]+)", resource[1])) != set(re.findall(r"background: ([^;]+)", agent[1]))
