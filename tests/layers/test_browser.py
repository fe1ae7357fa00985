"""The report in a browser: it opens without a network, sorts by a click and shows its pictures."""

import json
import os
import re
import shutil
import socketserver
import subprocess
import threading

import numpy as np
import pytest

from sparsecode import layers
from sparsecode.layers.html import write_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = [
    "--disable-background-networking",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,AutofillServerCommunication",
    "--disable-default-apps",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
]

# What the browser asks its makers for, whatever the page is; were the page to load anything from
# there, it would be among its own resources.
OWN = re.compile(
    r"[ /](update\.googleapis|(accounts|android\.clients|clients\d?|www)\.google)\.com\b"
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is installed")

# What a reader would do, and what they would see, written into the page for `--dump-dom`.
READER = """<script>
addEventListener("load", () => {
  const heads = [...document.querySelectorAll("th")];
  const rows = () => [...document.querySelectorAll("tbody tr")];
  const column = (i) => rows().map((row) => row.cells[i].textContent);
  const seen = { pictures: [], sorted: {}, heads: heads.map((h) => h.textContent) };
  for (const picture of document.images) {
    const { naturalWidth, naturalHeight, width, height } = picture;
    seen.pictures.push([naturalWidth, naturalHeight, width, height]);
  }
  for (const [i, head] of heads.entries()) {
    const orders = [];
    for (let click = 0; click < 2; click++) {
      head.querySelector("button").click();
      orders.push([head.getAttribute("aria-sort"), column(i), column(0)]);
    }
    seen.sorted[head.textContent] = orders;
  }
  seen.marked = heads.filter((h) => h.hasAttribute("aria-sort")).length;
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  seen.loaded = loaded.filter((name) => !name.startsWith("data:"));
  const answer = document.createElement("pre");
  answer.id = "seen";
  answer.textContent = JSON.stringify(seen);
  document.body.append(answer);
});
</script>
</body>"""


class Proxy(socketserver.ThreadingTCPServer):
    """All that a browser can reach: it notes who is asked for, and gives nothing."""

    daemon_threads = True

    def __init__(self):
        self.asked = []
        super().__init__(("127.0.0.1", 0), Note)


class Note(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.asked.append(self.rfile.readline().decode(errors="replace").strip())
        self.wfile.write(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )


def opened(path, folder):
    """The page after its scripts, as the browser has it, and what it asked the network for."""
    with Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            done = subprocess.run(
                [
                    BROWSER,
                    "--headless",
                    *(["--no-sandbox"] if os.geteuid() == 0 else []),
                    *QUIET,
                    f"--user-data-dir={folder / 'profile'}",
                    f"--proxy-server=http://127.0.0.1:{proxy.server_address[1]}",
                    "--proxy-bypass-list=<-loopback>",
                    "--virtual-time-budget=10000",
                    "--dump-dom",
                    path.as_uri(),
                ],
                capture_output=True,
                timeout=120,
                check=True,
            )
        finally:
            proxy.shutdown()
            thread.join()
        return done.stdout.decode(), [line for line in proxy.asked if not OWN.search(line)]


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    sizes = {"b.small": (12, 16), "a.large": (64, 96), "c.<b>bold</b>": (24, 64)}
    net = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in sizes.items()}
    inputs = {name: rng.standard_normal((200, shape[1])) for name, shape in sizes.items()}
    moments = layers.Calibration.from_arrays(inputs)
    small = layers.compress(net, 0.4, methods=["sparse", "uniform"], calibration=moments)
    return small.report


def test_the_report_opens_offline_sorts_by_a_click_and_shows_its_pictures(report, tmp_path):
    path, page = tmp_path / "report.html", report.to_html("A report")
    assert page.count("</body>") == 1
    write_page(path, page.replace("</body>", READER))
    dom, asked = opened(path, tmp_path)
    assert asked == []
    answer = re.search(r'<pre id="seen">(.*)</pre>', dom)
    assert answer, dom[-2000:]
    seen = json.loads(answer[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["loaded"] == []

    header, rows = report.table()
    assert seen["heads"] == list(header)
    for i, name in enumerate(header):
        (up, ascending, _), (down, descending, _) = seen["sorted"][name]
        assert (up, down) == ("ascending", "descending")
        assert sorted(ascending) == sorted(descending) == sorted(row[i] for row in rows)
        assert descending == ascending[::-1] or len(set(ascending)) < len(ascending)
    numbers = [int(cell.replace(",", "")) for cell in seen["sorted"]["bytes"][0][1]]
    assert numbers == sorted(numbers)
    assert len(str(numbers[0])) < len(str(numbers[-1]))  # not the order of the texts
    assert seen["sorted"]["layer"][0][1] == sorted(row[0] for row in rows)
    # Whole rows move: by bytes, each layer is beside its own.
    of_layer = {row[0]: row[header.index("bytes")] for row in rows}
    _, cells, names = seen["sorted"]["bytes"][1]
    assert [of_layer[name] for name in names] == cells
    assert seen["marked"] == 1

    ((width, height, shown_width, shown_height),) = seen["pictures"]
    assert min(width, height) > 100
    assert min(shown_width, shown_height) > 50
    np.testing.assert_allclose(width / height, shown_width / shown_height, rtol=0.05)


def test_the_browser_is_one_that_would_have_asked(tmp_path):
    path = tmp_path / "page.html"
    write_page(path, '<!doctype html><body><img src="http://elsewhere.example/x.png"></body>')
    _, asked = opened(path, tmp_path)
    assert any("elsewhere.example" in line for line in asked)
