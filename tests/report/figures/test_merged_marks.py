"""Merged marks look the same and take less space."""

from __future__ import annotations

from llem_report._figures.merged_marks import merge_marks, merge_texts


def dot(x: float, *, fill: str = "red", more: str = "") -> str:
    arcs = "M2.1,0A2.1,2.1,0,1,1,-2.1,0A2.1,2.1,0,1,1,2.1,0"
    return f'<path transform="translate({x},5)" d="{arcs}" fill="{fill}" stroke-width="2" opacity="0.7"{more}/>'


def box(x: float) -> str:
    return f'<path d="M{x},0h12v12h-12Z" fill="red" opacity="1"/>'


def test_dots_of_one_colour_become_round_ends_at_the_same_places() -> None:
    merged = merge_marks("<g>" + "".join(dot(x) for x in range(10)) + "</g>")
    places = "".join(f"M{x},5h0" for x in range(10))
    assert merged == (
        f'<g><path d="{places}" fill="none" stroke="red" stroke-width="4.2" '
        'stroke-linecap="round" stroke-opacity="0.7"/></g>'
    )


def test_boxes_become_one_path() -> None:
    merged = merge_marks("".join(box(x) for x in range(8)))
    assert merged.count("<path") == 1
    assert merged.count("h12v12h-12Z") == 8


def test_shapes_keep_their_form_at_their_places() -> None:
    def triangle(x: int) -> str:
        return (
            f'<path transform="translate({x},20)" d="M0,-3.8L-3.3,1.9h6.6Z" fill="red" '
            'stroke="black" stroke-width="0" opacity="0.9"/>'
        )

    merged = merge_marks("".join(map(triangle, range(10, 18))))
    assert merged.count("<path") == 1
    assert 'd="M10.0,16.2L6.7,21.9h6.6ZM11.0,16.2' in merged
    assert 'fill="red" fill-opacity="0.9"' in merged


def test_other_marks_are_left_as_they_are() -> None:
    few = "".join(dot(x) for x in range(7))
    changing = "".join(dot(x, fill=("red", "blue")[x % 2]) for x in range(20))
    with_stroke = "".join(dot(x, more=' stroke="black"') for x in range(20))
    told = "".join(f'<path aria-label="{x}" d="M0,0h1v1h-1Z" fill="red"/>' for x in range(20))
    for svg in (few, changing, with_stroke, told):
        assert merge_marks(svg) == svg


def test_texts_of_one_style_become_a_group_with_the_style() -> None:
    letters = "".join(
        f'<text text-anchor="middle" transform="translate({x},5)" fill="red">f</text>'
        for x in range(8)
    )
    merged = merge_texts(f"<g>{letters}</g>")
    assert merged.startswith(
        '<g><g text-anchor="middle" fill="red"><text transform="translate(0,5)">f'
    )
    assert merged.count("</text>") == 8
