"""The report page: complete in itself, readable without colours or scripts, and safe."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from sparsecode import layers
from sparsecode.layers.html import Picture, Table, png, render_page, report_page, write_page

HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "</td></table><img src=//evil.example/x>",
    "{{ 7 * 7 }}{% raw %}",
    "a & b 'c'",
    "\x00\x1b[31m\u202e",
    "\ud800",
]
VOID = {"meta", "img", "link", "br", "hr", "input"}
REMOTE = re.compile(r"https?:|//[\w.]+/|url\(|@import|<link|<iframe|\bsrcset\b", re.IGNORECASE)


class Page(HTMLParser):
    """The elements of a page, with attributes and texts; what is no tree is refused."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attrs": dict(attrs), "text": ""}
        assert len(element["attrs"]) == len(attrs)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def texts(self, tag):
        return [element["text"].strip() for element in self.all(tag)]


def page(**changes):
    given = {
        "title": "A title",
        "summary": ["What was done."],
        "table": Table(
            caption="Numbers",
            header=["name", "bytes", "error", "verdict"],
            rows=[["a", "1,024", "0.5", "best"], ["b", "8", "-", "worse"]],
            highlighted=frozenset([0]),
        ),
        "findings": ["What follows."],
        "pictures": [
            Picture(title="P", caption="See this.", alt="A dot.", png=png(Figure((1, 1))))
        ],
        "commands": ["sparsecode one", "sparsecode two"],
    }
    return render_page(**{**given, **changes})


def test_the_page_says_everything_once():
    parsed = Page(page())
    assert parsed.all("html")[0]["attrs"]["lang"] == "en"
    assert parsed.texts("title") == parsed.texts("h1") == ["A title"]
    assert parsed.texts("p") == ["What was done.", "What follows."]
    assert parsed.texts("caption") == ["Numbers"]
    assert parsed.texts("th") == ["name", "bytes", "error", "verdict"]
    assert parsed.texts("td") == ["a", "1,024", "0.5", "best", "b", "8", "-", "worse"]
    assert parsed.texts("figcaption") == ["See this."]
    assert parsed.texts("pre") == ["sparsecode one\nsparsecode two"]
    assert {element["attrs"].get("charset") for element in parsed.all("meta")} >= {"utf-8"}


def test_numbers_are_flush_right_and_texts_are_not():
    parsed = Page(page())
    classes = [element["attrs"].get("class") for element in parsed.all("td")]
    assert classes == [None, "number", "number", None] * 2
    assert [e["attrs"].get("class") for e in parsed.all("th")] == classes[:4]
    assert [e["attrs"].get("class") for e in parsed.all("tr")] == [None, "highlighted", None]


def test_the_page_loads_nothing():
    html = page()
    visible = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    assert len(visible) < len(html)
    assert not REMOTE.search(visible)
    assert "http" not in visible
    parsed = Page(html)
    loading = {"src", "href", "action", "data", "poster", "srcset", "background"}
    sources = [
        value
        for element in parsed.elements
        for name, value in element["attrs"].items()
        if name in loading
    ]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")


def test_a_picture_is_inside_with_words_for_it():
    (image,) = Page(page()).all("img")
    data = base64.b64decode(image["attrs"]["src"].removeprefix("data:image/png;base64,"))
    assert data.startswith(b"\x89PNG\r\n")
    assert image["attrs"]["alt"] == "A dot."


def test_the_page_reads_in_light_and_in_dark():
    style = Page(page()).texts("style")[0]
    assert "color-scheme: light dark" in style
    light, dark = (
        dict(re.findall(r"(--\w+): (#\w+)", part))
        for part in style.split("prefers-color-scheme: dark", 1)
    )
    assert light.keys() == dark.keys()
    assert set(re.findall(r"var\((--\w+)\)", style)) == light.keys()
    for colors in (light, dark):
        for ground in ("--ground", "--panel", "--tint"):
            for ink in ("--text", "--quiet"):
                assert contrast(colors[ink], colors[ground]) >= 4.5  # WCAG 2, level AA


def contrast(one, other):
    def luminance(color):
        channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05

    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return light / dark


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_can_do_harm_anywhere(text):
    harmless = page()
    html = page(
        title=text,
        summary=[text],
        table=Table(caption=text, header=[text], rows=[[text]]),
        findings=[text],
        pictures=[Picture(title=text, caption=text, alt=text, png=png(Figure((1, 1))))],
        commands=[text],
    )
    html.encode()
    parsed, expected = Page(html), Page(harmless)
    assert {e["tag"] for e in parsed.elements} == {e["tag"] for e in expected.elements}
    assert len(parsed.all("script")) == 1
    assert not any(n.startswith("on") for e in parsed.elements for n in e["attrs"])
    assert [len(parsed.all(t)) for t in ("img", "td")] == [1, 1]
    assert not re.search("[\x00\x1b\u202e]", html)
    if text.isprintable():
        for tag in ("title", "h1", "caption", "th", "td", "h2", "figcaption", "pre"):
            assert parsed.texts(tag)[0] == text
        assert parsed.all("img")[0]["attrs"]["alt"] == text


def test_a_report_names_every_layer_and_escapes_it():
    rng = np.random.default_rng(0)
    name = "</td><script>alert(1)</script>"
    network = {name: rng.standard_normal((24, 32)), "plain": rng.standard_normal((16, 24))}
    calibration = layers.Calibration.from_arrays({name: rng.standard_normal((50, 32))})
    small = layers.compress(network, 0.5, methods="sparse", calibration=calibration)
    parsed = Page(small.report.to_html("My <net>"))
    assert parsed.texts("h1") == ["My <net>"]
    header = parsed.texts("th")
    cells = np.array(parsed.texts("td")).reshape(2, len(header))
    assert cells[:, header.index("layer")].tolist() == [name, "plain"]
    assert cells[0, header.index("bytes")] == f"{small.report.rows[0].bits.total // 8:,}"
    assert cells[0, header.index("calibration")] == f"{small.report.rows[0].calibration_error:.3g}"
    assert cells[1, header.index("calibration")] == "-"
    assert "50.0% of the bits were asked for" in parsed.texts("p")[0]
    assert f"{small.bits // 8:,} bytes" in parsed.texts("p")[0]
    assert len(parsed.all("script")) == 1


def test_a_report_of_nothing_is_a_page():
    assert Page(report_page(layers.CompressionReport(), "Empty")).texts("td") == []


def test_a_report_says_how_far_the_choice_can_be_from_the_best():
    small = layers.compress({"w": np.diag(np.arange(1.0, 33))}, 0.2, methods="low_rank")
    found = small.report.certificate()
    assert f"C{found[1:]}." in " ".join(Page(report_page(small.report, "One")).texts("p"))


def test_equal_reports_are_equal_bytes():
    assert page() == page()


def test_a_page_replaces_a_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write_page(path, "old")

    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr("sparsecode._files.os.replace", fail)
    with pytest.raises(OSError, match="full"):
        write_page(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
