"""The page of a timeline: one file, in which nothing hostile is markup; a browser opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import trml_rt
from trml_rt.timeline.page import page_of

ROOT = Path(__file__).parents[3]
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")

# What a person does, and what is there then.
PROBE = """
window.addEventListener("load", () => setTimeout(async () => {
  const happens = (name, target) => new Promise(done => {
    target.addEventListener(name, done); setTimeout(done, 5000); });
  const video = document.querySelector("video"), curve = document.getElementById("curve");
  if (video.readyState < 1) await happens("loadedmetadata", video);
  const seen = {duration: video.duration, absent: document.getElementById("absent").hidden};
  document.querySelectorAll("#transcript button")[2].click();
  seen.text = video.currentTime;
  seen.current = document.querySelectorAll(".current").length;
  document.querySelectorAll("#rows tbody tr")[1].click();
  seen.row = video.currentTime;
  const box = curve.getBoundingClientRect();
  curve.dispatchEvent(new MouseEvent("click",
    {bubbles: true, clientX: box.left + box.width / 4, clientY: box.top + 5}));
  seen.curve = video.currentTime;
  seen.line = Number(document.getElementById("now").getAttribute("x1"));
  seen.title = document.title;
  document.body.dataset.seen = JSON.stringify(seen);
}, 0));
"""


class Parsed(HTMLParser):
    """The elements of a page, each with its attributes, and the texts of it."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag, **attributes):
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]


@pytest.fixture(params=["of_scores", "of_classes"])
def found(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def page(found, tmp_path):
    return Parsed(page_of(found, tmp_path))


def test_the_video_is_found_from_where_the_page_lies(page, found):
    [video] = page.all("video")
    assert unquote(video["src"]) == "videos/a #1?.mp4"
    assert "#" not in video["src"]
    assert "?" not in video["src"]


def test_nothing_hostile_is_markup(page, found):
    assert len(page.all("script")) == 1
    assert page.all("img") == page.all("i") == page.all("b") == []
    assert not [name for _, each in page.elements for name in each if name.startswith("on")]
    assert page.texts.count(found.rows[2].text) == 2  # the transcript and the table


def test_nothing_is_loaded_but_the_video(page, found, tmp_path):
    assert not [
        value
        for _, each in page.elements
        for name, value in each.items()
        if "//" in str(value) and name != "title"
    ]
    named = [each.get("src", each.get("href")) for _, each in page.elements]
    addresses = [address for address in named if address is not None]
    assert addresses == ["data:,", page.all("video")[0]["src"]]
    [policy] = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")


def test_the_policy_lets_this_script_run_and_no_other(page):
    [policy] = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    [script] = [text for text in page.texts if "use strict" in text]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy["content"]


def test_stretches_in_which_an_input_was_virtual_are_hatched(page):
    hatched = [
        (each["data-presence"], float(each["x"]), float(each["width"]), each["fill"])
        for each in page.all("rect", **{"class": "virtual"})
    ]
    assert hatched == [
        ("video", 0.0, 250.0, "url(#virtual-video)"),  # two segments, one stretch
        ("text", 500.0, 250.0, "url(#virtual-text)"),
        ("none", 875.0, 125.0, "url(#virtual-none)"),
    ]
    assert {each["id"] for each in page.all("pattern")} == {
        f"virtual-{presence}" for presence, *_ in hatched
    }


def test_the_curve_has_a_step_a_segment_and_breaks_where_there_is_no_answer(of_scores, tmp_path):
    [curve] = Parsed(page_of(of_scores, tmp_path)).all("path", **{"class": "curve"})
    assert curve["d"] == (
        "M0.00 55.00L125.00 55.00L125.00 137.50L250.00 137.50"
        "L250.00 0.00L500.00 0.00L500.00 220.00L750.00 220.00"
    )


def test_each_class_has_a_curve_with_its_name(of_classes, tmp_path):
    page = Parsed(page_of(of_classes, tmp_path))
    assert len(page.all("path", **{"class": "curve"})) == 3
    assert "<b>none" in page.texts


def test_every_segment_can_be_gone_to(page, found):
    starts = [f"{row.start:.3f}" for row in found.rows]
    assert [each["data-t"] for each in page.all("tr") if "data-t" in each] == starts
    assert [each["data-t"] for each in page.all("button") if "style" in each] == starts


def test_the_page_among_the_docs_is_what_is_made_of_the_sample_but_for_digits(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("TRML_RT_BUNDLE", raising=False)
    made = page_of(trml_rt.timeline("samples/smiling.mp4", "samples/smiling.srt"), ROOT / "docs")
    committed = (ROOT / "docs/timeline-sample.html").read_text()
    assert 'src="../samples/smiling.mp4"' in committed
    assert re.sub(r"\d+", "0", committed) == re.sub(r"\d+", "0", made)


@pytest.mark.skipif(BROWSER is None, reason="needs the Debian package chromium-headless-shell")
def test_in_a_browser_a_click_seeks_and_no_request_leaves_the_page(of_scores, tmp_path):
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    page = page_of(of_scores, tmp_path).replace("script-src '", f"script-src 'sha256-{digest}' '")
    (tmp_path / "t.html").write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"))
    flags = ["--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    log = f"--log-net-log={tmp_path / 'net.json'}"
    run = subprocess.run(
        [BROWSER, *flags, log, f"--user-data-dir={tmp_path / 'profile'}", tmp_path / "t.html"],
        capture_output=True,
        timeout=60,
        text=True,
    )
    seen = json.loads(unescape(re.search(r'data-seen="([^"]*)"', run.stdout)[1]))
    assert seen == {
        **{"duration": pytest.approx(4.0), "absent": True, "current": 2},
        **{"text": 2.0, "row": 1.0, "curve": pytest.approx(2.0, abs=0.01)},
        **{"line": pytest.approx(250.0, abs=1), "title": of_scores.video.name},
    }
    # Files are not in this log of Chromium; any request to a server would be.
    log = (tmp_path / "net.json").read_text()
    assert "constants" in log
    assert re.findall(r'"url":"([^"]*)"', log) == []
