"""Open a page in a real headless Chromium: its DOM after loading, and whatever it said on the console."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
PROBE = """
<script>
addEventListener("load", () => {
  const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const rotated = e => !!parseFloat((/rotate\\((-?[\\d.]+)/.exec(e.getAttribute("transform")) || [0, 0])[1]);
  const pictures = [...document.querySelectorAll("main img, main svg")].map(e => ({
    kind: e.tagName.toLowerCase(), box: box(e), loaded: e.tagName === "IMG" ? e.naturalWidth > 0 : true,
    alt: e.getAttribute("alt") || e.getAttribute("aria-label") || "", figure: (e.closest("figure") || {}).id || "" }));
  const texts = [...document.querySelectorAll("main svg")].map(svg =>
    [...svg.querySelectorAll("text")].filter(t => !rotated(t)).map(t => ({ text: t.textContent, box: box(t) })));
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({ pictures, texts, wide });
  document.body.append(out);
});
</script>
"""


def find_chromium():
    """Return the browser's path, or skip the test and say so."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no browser found (looked for {', '.join(NAMES)})")


def open_page(path, tmp_path, width=1280):
    """Return (DOM, console messages) of a local page."""
    command = [
        find_chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1000", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=4000", "--dump-dom",
        path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probe(path, tmp_path, width=1280):
    """Return where pictures and the texts inside plots are, from a copy of the page that holds a small script."""
    copy = Path(tmp_path) / "probed.html"
    text = POLICY.sub("", path.read_text(encoding="utf-8"))
    copy.write_text(text.replace("</head>", PROBE + "</head>"), encoding="utf-8")
    dom, console = open_page(copy, tmp_path, width)
    assert not console
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert found, "the script did not run"
    return json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def overlaps(texts, slack=1.0):
    """Return pairs of texts of one plot that lie over each other."""
    pairs = []
    for i, one in enumerate(texts):
        for other in texts[i + 1 :]:
            (l0, t0, r0, b0), (l1, t1, r1, b1) = one["box"], other["box"]
            if min(r0, r1) - max(l0, l1) > slack and min(b0, b1) - max(t0, t1) > slack:
                pairs.append((one["text"], other["text"]))
    return pairs
