"""The figures of the chapter on the receptive field: captions, numbers, failures, lines."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.chapters import Defaults, figure_in, namespace_with

from livefigure import LiveFigure

BOOK = "05_receptive_field.ipynb"


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    return namespace_with(BOOK, "gridding")


def defaults(namespace: dict[str, Any], name: str) -> Defaults:
    return Defaults(figure_in(namespace, name))


def values(figure: LiveFigure) -> dict[str, Any]:
    return {name: widget.value for name, widget in figure.controls.items()}


def sweep(figure: LiveFigure) -> list[str]:
    """Return the captions of all states; called directly, as drawing would take seconds."""
    shape = [
        len(widget._options_values)
        if hasattr(widget, "_options_values")
        else (widget.max - widget.min) // widget.step + 1
        for widget in figure.controls.values()
    ]
    captions = [figure._call(state) for state in np.ndindex(*shape)]
    assert len(captions) == figure.states
    assert not any("nan" in text or "inf" in text for text in captions)
    return captions


# --- cone ---


@pytest.fixture(scope="module")
def cone(namespace: dict[str, Any]) -> Defaults:
    return defaults(namespace, "cone")


def test_cone_controls_and_defaults(namespace: dict[str, Any], cone: Defaults) -> None:
    cone.caption()
    figure = namespace["cone"]
    assert figure.states == 2016
    assert values(figure) == {
        "kernel": 3, "stride": 1, "dilation": 1, "padding": "none", "layer": 3, "pixel": 10,
    }  # fmt: skip
    moves = re.findall('data-moves="([^"]+)"', figure.svg())
    assert len(moves) == 1
    assert "pixel" in moves[0] and "layer" in moves[0]


def test_a_stride_widens_the_next_layer_only(cone: Defaults) -> None:
    assert "which sees 7 pixels. Neighbors are 2 apart." in cone.caption()
    assert "which sees 9 pixels. Neighbors are 4 apart." in cone.caption(stride=2)
    assert "which sees 5 pixels. Neighbors are 1 apart." in cone.caption(layer=2)
    assert "which sees 5 pixels. Neighbors are 2 apart." in cone.caption(layer=2, stride=2)


def test_the_sums_stand_beside_the_cone(namespace: dict[str, Any], cone: Defaults) -> None:
    cone.caption(stride=2)
    assert [text.get_text() for text in namespace["cone_rows"]] == [
        "forward, in pixels",
        "r₀ = 1,  j₀ = 1",
        "r₁ = 1 + 1·2·1 = 3,  j₁ = 1",
        "r₂ = 3 + 1·2·1 = 5,  j₂ = 2",
        "r₃ = 5 + 1·2·2 = 9,  j₃ = 4",
        "backward, in cells",
        "1 → 3 → 7 → 9",
    ]


def test_a_dilated_layer_leaves_holes_in_the_cone(
    namespace: dict[str, Any], cone: Defaults
) -> None:
    text = cone.caption(dilation=2, layer=2)
    assert "The cone has holes: it does not read 2 cells of layer 1." in text
    assert_allclose(namespace["cone_hole"].get_xydata(), [[9, 1], [11, 1]])
    assert "holes" not in cone.caption(dilation=2, layer=1)
    assert "holes" not in cone.caption()


def test_a_layer_with_two_cells(namespace: dict[str, Any], cone: Defaults) -> None:
    text = cone.caption(kernel=5, stride=2, dilation=2, pixel=20)
    assert text.startswith("No cell stands above pixel 20: layer 3 has 2 cells; showing cell 1, ")
    assert_allclose(namespace["cone_chosen"].get_xydata(), [[11, 3]])


def test_half_a_field_of_padding(namespace: dict[str, Any], cone: Defaults) -> None:
    text = cone.caption(kernel=5, stride=2, dilation=2, padding="half", pixel=0)
    assert "7 of these 15 positions are padding, nearly half." in text
    assert len(namespace["cone_padding"].get_xydata()) > 0
    assert "padding" not in cone.caption(padding="half")
    assert len(namespace["cone_padding"].get_xydata()) == 0


def test_every_cone_has_its_cells_in_the_picture(namespace: dict[str, Any]) -> None:
    ax = namespace["cone_ax"]
    limits = ax.get_xlim(), ax.get_ylim()
    seen = set()
    figure = namespace["cone"]
    for text in sweep(figure):
        seen.add(text)
    assert len(seen) > 500
    low, high = limits[0]
    for padding in ("none", "half"):
        for pixel in (0, 20):
            figure.controls["kernel"].value, figure.controls["stride"].value = 5, 2
            figure.controls["dilation"].value = 2
            figure.controls["padding"].value, figure.controls["pixel"].value = padding, pixel
            for name in ("cone_below", "cone_above", "cone_padding"):
                x = np.array(namespace[name].get_xydata())[:, 0]
                assert np.all((x[~np.isnan(x)] > low) & (x[~np.isnan(x)] < high))
    assert (ax.get_xlim(), ax.get_ylim()) == limits


# --- alignment ---


@pytest.fixture(scope="module")
def alignment(namespace: dict[str, Any]) -> Defaults:
    return defaults(namespace, "alignment")


def test_alignment_controls_and_defaults(namespace: dict[str, Any], alignment: Defaults) -> None:
    text = alignment.caption()
    assert namespace["alignment"].states == 135
    assert values(namespace["alignment"]) == {"kernel": 3, "stride": 2, "padding": 1, "repeats": 3}
    assert "cell 0 is centered on pixel 0. Its field has 15 positions, 7 of them padding." in text


def test_three_poolings_are_between_two_pixels(alignment: Defaults) -> None:
    text = alignment.caption(kernel=2, padding=0)
    assert text.startswith("c = 0.5·(1 + 2 + 4) = 3.5: cell 0 is centered between two pixels.")
    assert "Its field has 8 positions, all in the image. Neighbors are 8 apart." in text


def test_odd_kernels_padded_by_half_are_aligned(alignment: Defaults) -> None:
    for kernel, padding in ((1, 0), (3, 1), (5, 2)):
        for stride in (1, 2, 3):
            for repeats in (1, 2, 3):
                text = alignment.caption(
                    kernel=kernel, padding=padding, stride=stride, repeats=repeats
                )
                assert "cell 0 is centered on pixel 0" in text


def test_a_center_outside_the_image(namespace: dict[str, Any], alignment: Defaults) -> None:
    text = alignment.caption(kernel=1, padding=2, repeats=1)
    assert text.startswith("c = −2·(1) = −2: the first cell’s center lies outside the image.")
    assert "1 position, 1 of them padding" in text
    assert (
        namespace["alignment_says"].get_text() == "the first cell’s center lies outside the image"
    )
    assert "outside" not in alignment.caption()


def test_the_window_is_that_of_the_first_cell(
    namespace: dict[str, Any], alignment: Defaults
) -> None:
    alignment.caption(kernel=3, stride=2, padding=1, repeats=3)
    assert_allclose(namespace["alignment_out"].get_xdata(), [-7.5, -0.5])
    assert_allclose(namespace["alignment_in"].get_xdata(), [-0.5, 7.5])
    assert len(set(sweep(namespace["alignment"]))) > 80


# --- growth ---


@pytest.fixture(scope="module")
def growth(namespace: dict[str, Any]) -> Defaults:
    return defaults(namespace, "growth")


VGG = [3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212]
RESNET = [7, 11, 19, 27, 35, 43, 51, 67, 83, 99, 115, 147, 179, 211, 243, 307, 371, 435]


def test_growth_controls_and_defaults(namespace: dict[str, Any], growth: Defaults) -> None:
    growth.caption()
    assert namespace["growth"].states == 108
    assert values(namespace["growth"]) == {"network": "VGG-16", "layer": 7}
    options = namespace["growth"].controls["network"].options
    assert options == (
        "AlexNet", "VGG-16", "ResNet-18", "ResNet-50 published", "ResNet-50 torchvision",
        "MobileNetV1",
    )  # fmt: skip


@pytest.mark.parametrize(("network", "sizes"), [("VGG-16", VGG), ("ResNet-18", RESNET)])
def test_every_layer_of_a_net(growth: Defaults, network: str, sizes: list[int]) -> None:
    for layer, size in enumerate(sizes, start=1):
        text = growth.caption(network=network, layer=layer)
        assert f", layer {layer} of 18, " in text
        assert f": one cell sees {size} pixels, " in text


@pytest.mark.parametrize(
    ("network", "ending"),
    [
        ("AlexNet", "When does it see 224 pixels? Never: 195 is all this net has."),
        ("VGG-16", "When does it see 224 pixels? Never: 212 is all this net has."),
        ("ResNet-18", "It passes 224 at layer 15, with 243."),
        ("ResNet-50 published", "It passes 224 at layer 13, with 227."),
        ("ResNet-50 torchvision", "It passes 224 at layer 14, with 235."),
        ("MobileNetV1", "It passes 224 at layer 13, with 251."),
    ],
)
def test_where_a_net_passes_224(
    namespace: dict[str, Any], growth: Defaults, network: str, ending: str
) -> None:
    assert growth.caption(network=network).endswith(ending)
    said = namespace["growth_verdict"].get_text()
    assert said.startswith("never: " if "Never" in ending else "passes 224 at layer ")


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("AlexNet", 195),
        ("ResNet-50 published", 483),
        ("ResNet-50 torchvision", 427),
        ("MobileNetV1", 315),
    ],
)
def test_the_last_layer_and_the_clipped_control(growth: Defaults, network: str, size: int) -> None:
    text = growth.caption(network=network, layer=18)
    assert f"one cell sees {size} pixels, and neighbors are 32 apart" in text
    depth = {"AlexNet": 8, "MobileNetV1": 14}.get(network)
    assert (f"{network} has {depth} layers; showing the last." in text) == (depth is not None)


def test_both_columns_of_the_table(namespace: dict[str, Any], growth: Defaults) -> None:
    growth.caption(layer=13)
    rows = [[text.get_text() for text in row] for row in namespace["growth_cells"]]
    assert rows[12] == ["conv4_3", "92", "16"]
    assert [row[2] for row in rows[-6:]] == ["16", "8", "6", "4", "2", "1"]
    assert_allclose(namespace["growth_lit"].get_y(), 12.5)
    growth.caption(network="AlexNet")
    assert namespace["growth_cells"][8][0].get_text() == ""
    assert (
        len(set(sweep(namespace["growth"]))) == 94 + 2
    )  # two nets say that the control is clipped


# --- gridding ---


@pytest.fixture(scope="module")
def gridding(namespace: dict[str, Any]) -> Defaults:
    return defaults(namespace, "gridding")


def test_gridding_controls_and_defaults(namespace: dict[str, Any], gridding: Defaults) -> None:
    text = gridding.caption()
    assert namespace["gridding"].states == 375
    assert values(namespace["gridding"]) == {"kernel": 3, "d1": 1, "d2": 2, "d3": 3}
    assert "13 of 13 pixels in an axis are read: no holes" in text


@pytest.mark.parametrize(
    ("rates", "read", "size", "missing"),
    [((2, 2, 2), 7, 13, 71), ((4, 4, 4), 7, 25, 92), ((2, 4, 5), 19, 23, 32)],
)
def test_holes_are_counted(
    gridding: Defaults, rates: tuple[int, int, int], read: int, size: int, missing: int
) -> None:
    text = gridding.caption(d1=rates[0], d2=rates[1], d3=rates[2])
    assert f"{read} of {size} pixels in an axis are read" in text
    assert f"and {missing}% of the pixels never reach this cell." in text
    assert f"Sorted {rates[0]}, {rates[1]}, {rates[2]}: {rates[0]} is more than 1" in text


def test_order_plays_no_part(namespace: dict[str, Any], gridding: Defaults) -> None:
    pictures = []
    for d1, d2, d3 in ((1, 3, 5), (5, 1, 3), (3, 5, 1)):
        assert "no holes" not in gridding.caption(d1=d1, d2=d2, d3=d3, kernel=2)
        pictures.append(np.array(namespace["gridding_image"].get_array()))
    assert (pictures[0] == pictures[1]).all() and (pictures[0] == pictures[2]).all()


def test_the_map_shows_holes_and_crops(namespace: dict[str, Any], gridding: Defaults) -> None:
    image = namespace["gridding_image"]
    gridding.caption(d1=2, d2=2, d3=2)
    assert image.get_array().shape == (13, 13)
    assert (image.get_array() == 0).sum() == 13**2 - 7**2
    text = gridding.caption(kernel=5, d1=5, d2=5, d3=5)
    assert "The map shows the middle 25 × 25." in text
    assert image.get_array().shape == (25, 25)
    assert "middle" not in gridding.caption()


def test_named_stacks_of_the_chapter(namespace: dict[str, Any]) -> None:
    shares = {
        (1, 2, 3): (13, 13), (1, 2, 5): (17, 17), (1, 3, 9): (27, 27), (1, 2, 9): (21, 25),
        (2, 4, 8): (15, 29),
    }  # fmt: skip
    for rates, (read, size) in shares.items():
        counts = namespace["reads"](3, rates)
        assert (np.count_nonzero(counts), len(counts)) == (read, size)
    assert round((21 / 25) ** 2, 2) == 0.71
    assert round((15 / 29) ** 2, 2) == 0.27
    assert round((7 / 25) ** 2, 2) == 0.08
    pictures = {
        namespace["gridding_map"].images[0].get_array().tobytes()
        + str(namespace["gridding_image"].get_array().shape).encode()
        for _ in sweep_one_by_one(namespace["gridding"])
    }
    assert len(pictures) == 3 * 35  # of 125 orders: the order of three dilations never matters


def sweep_one_by_one(figure: LiveFigure) -> Any:
    for state in np.ndindex(3, 5, 5, 5):
        yield figure._call(state)


# --- erf ---


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    """Run all cells up to the figure, those with torch too."""
    import nbformat
    from support.book import ROOT

    names: dict[str, Any] = {}
    read: Any = nbformat.read(ROOT / "notebooks" / BOOK, as_version=4)  # type: ignore[no-untyped-call]
    for cell in read.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{BOOK}, {cell.id}", "exec"), names)
        if "erf" in names:
            return names
    raise AssertionError("no cell makes the figure erf")


@pytest.fixture(scope="module")
def erf(everything: dict[str, Any]) -> Defaults:
    return Defaults(figure_in(everything, "erf"))


def side(text: str) -> float:
    return float(text.split("the effective one ")[1].split(",")[0])


def test_erf_controls_and_defaults(everything: dict[str, Any], erf: Defaults) -> None:
    text = erf.caption()
    assert everything["erf"].states == 180
    assert values(everything["erf"]) == {"architecture": "plain", "activation": "ReLU", "depth": 4}
    assert text.startswith("4 layers, plain, ReLU: the field has side 9, the effective one ")
    assert side(text) == pytest.approx(8.9, abs=0.2)


@pytest.mark.parametrize(
    ("architecture", "activation", "field", "expected"),
    [
        ("plain", "ReLU", 25, 17.0),
        ("plain", "linear", 25, 17.0),
        ("plain", "tanh", 25, 17.0),
        ("skip", "ReLU", 25, 12.0),
        ("skip", "linear", 25, 12.2),
        ("skip", "tanh", 25, 8.5),
        ("dilated 1-2-4", "ReLU", 57, 43.0),
        ("stride 2 every fourth", "ReLU", 57, 43.0),
    ],
)
def test_sides_at_twelve_layers(
    erf: Defaults, architecture: str, activation: str, field: int, expected: float
) -> None:
    text = erf.caption(architecture=architecture, activation=activation, depth=12)
    assert f"the field has side {field}," in text
    assert side(text) == pytest.approx(expected, abs=0.06 * expected)


def test_uniform_weights_are_exact(everything: dict[str, Any], erf: Defaults) -> None:
    texts = [erf.caption(architecture="uniform linear", activation=name, depth=12)
             for name in ("linear", "ReLU", "tanh")]  # fmt: skip
    assert len(set(texts)) == 1
    assert side(texts[0]) == 12.4
    size, wide = everything["side"], everything["profile"]
    assert size(wide([(3,)] * 12)) == pytest.approx(12.4, abs=0.05)


@pytest.mark.parametrize(
    ("architecture", "limit"),
    [("plain", "17.2"), ("dilated 1-2-4", "44.8"), ("stride 2 every fourth", "44.8")],
)
def test_the_limit_of_many_channels(erf: Defaults, architecture: str, limit: str) -> None:
    text = erf.caption(architecture=architecture, depth=12)
    assert text.endswith(f"With very many channels it would be {limit}.")
    assert "channels" not in erf.caption(architecture="skip", depth=12)


def test_used_share_times_root_of_depth_tends_to_a_constant(everything: dict[str, Any]) -> None:
    size, wide = everything["side"], everything["profile"]
    ratios = [
        size(np.sqrt(wide([(3,)] * depth))) / (2 * depth + 1) * depth**0.5
        for depth in (10, 20, 160)
    ]
    assert_allclose(ratios, [2.34, 2.48, 2.54], atol=0.005)
    limit = np.sqrt(8 * np.pi / 3 * np.log(22)) / 2
    assert limit == pytest.approx(2.54, abs=0.005)
    assert limit / np.sqrt(2) == pytest.approx(1.80, abs=0.005)


def test_squares_and_rows_of_the_map(everything: dict[str, Any], erf: Defaults) -> None:
    text = erf.caption(architecture="skip", activation="tanh", depth=9)
    assert everything["erf_whole"].get_width() == 19
    assert round(everything["erf_used"].get_width(), 1) == side(text)
    row = np.array(everything["erf_row"].get_xydata())
    assert len(row) == 19
    assert np.isfinite(row).all()
    assert len(everything["erf_exact"].get_xydata()) == 0
    limits = everything["erf_left"].get_xlim()
    for text in sweep(everything["erf"]):
        assert side(text) > 0
    assert everything["erf_left"].get_xlim() == limits
