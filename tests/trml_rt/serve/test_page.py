"""The page of a server, in a browser with a camera that is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

import trml_rt
from tests.browser import BROWSER, CAMERA, Page
from tests.conftest import TINY
from tests.trml_rt.serve.callers import call

NEEDS_BROWSER = pytest.mark.skipif(
    BROWSER is None, reason="needs the Debian package chromium-headless-shell"
)
FILES = Path(trml_rt.__file__).parent / "serve"


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css"])
def test_the_page_may_load_from_its_own_server_alone(server, path):
    policy = call(server, path).headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert "'unsafe" not in " ".join(policy)
    assert "script-src 'self'" in policy


def test_no_file_of_the_page_names_another_place():
    text = "".join((FILES / f"page.{ending}").read_text() for ending in ("html", "css", "js"))
    assert text.replace("http://www.w3.org/2000/svg", "").count("//") == text.count("// ")
    assert "innerHTML" not in text


@pytest.fixture(scope="module")
def page(cache, tmp_path_factory):
    """The page of a server that wants a token, which was typed there."""
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    token = tmp_path_factory.mktemp("token") / "token.txt"
    token.write_text("a.b~c/d+e==")
    texts = [(0.0, 1.0, "what a day")]
    with (
        trml_rt.serve(TINY, port=0, token_file=token, text=texts) as server,
        Page(f"{server.address}/", *CAMERA) as page,
    ):
        page.wait("!at('token-row').hidden")
        assert "no valid token" in page.run("at('fault').textContent")
        page.run(f"at('token').value = '{token.read_text()}'")
        page.run("at('token').dispatchEvent(new Event('change'))")
        page.wait("document.title === 'tiny'")
        assert page.run("at('fault').hidden")
        yield page
        host = server.address.removeprefix("http://")
        elsewhere = [each for each in page.requests if host not in each]
        assert [each for each in elsewhere if not each.startswith(("data:", "blob:"))] == []


@NEEDS_BROWSER
def test_a_text_is_answered_and_what_is_virtual_is_said_with_its_reason(page, rt):
    page.run("at('text').value = 'what a day'; at('ask').requestSubmit()")
    page.wait("!at('answer').hidden")
    video = "document.querySelector('#answer [data-input=video]')"
    assert page.run(f"{video}.dataset.state") == "virtual"
    assert "because: not given" in page.run(f"{video}.textContent")
    assert (
        page.run("document.querySelector('#answer .label').textContent")
        == rt.infer("what a day").label
    )
    assert page.run("[...document.querySelectorAll('#answer [data-ms]')].length") >= 4


@NEEDS_BROWSER
def test_a_file_is_answered_and_one_that_is_no_clip_is_told(page):
    choose = (
        "{const made = new DataTransfer(); made.items.add(new File([BYTES], 'a.gif'));"
        "at('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: made, cancelable: true}));}"
        "at('text').value = ''; at('ask').requestSubmit()"
    )
    gif = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="
    page.run(choose.replace("BYTES", f"Uint8Array.from(atob('{gif}'), c => c.charCodeAt(0))"))
    page.wait("document.querySelector('#answer [data-input=video]')?.dataset.state === 'real'")
    assert page.run("at('chosen').textContent") == "a.gif"
    page.run(choose.replace("BYTES", "'no clip'"))
    page.wait("!at('fault').hidden")
    assert "no input can be used" in page.run("at('fault').textContent")


@NEEDS_BROWSER
def test_a_camera_draws_a_curve_on_which_virtual_stretches_are_hatched(page):
    page.run("at('camera').click()")
    hatched = "[...document.querySelectorAll('#stretches .virtual')].map(r => r.dataset.present)"
    page.wait(f"{hatched}.includes('video')")  # nobody has said anything as yet
    page.run("at('words').value = 'what a good day'; at('say').requestSubmit()")
    page.wait("answers.at(-1).present === 'text_video'")
    page.run("at('cover').click()")
    page.wait(f"{hatched}.includes('text')")
    words = page.run("document.querySelector('#watched [data-input=video]').textContent")
    assert "because: stalled" in words
    assert page.run("document.querySelectorAll('#paths .curve').length") == 1
    assert page.run("getComputedStyle(at('curve').querySelector('.hatch')).strokeWidth") == "2px"
    page.run("at('camera').click()")
    page.wait("at('camera').textContent === 'Start camera'")
    assert page.run("at('watch-fault').hidden")


@NEEDS_BROWSER
def test_the_stream_of_the_server_is_shown(page):
    before = page.run("answers.length")
    page.run("at('stream').click()")
    page.wait("!at('stream').disabled")  # it has ended
    assert page.run("answers.length") == before + 1  # the last one, which late clients hear
    assert page.run("answers.at(-1).present") == "text"
