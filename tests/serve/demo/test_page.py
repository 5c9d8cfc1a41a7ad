"""The page in a real headless Chromium, over a real Triton: an image goes in as a person gives it, and what NumPy says comes out."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ANSWERED = "document.getElementById('status').textContent.includes('answered')"
SHOWN = "[...document.querySelectorAll('#outputs .bars > *:nth-child(3n+1), #outputs .bars > .number')].map(e => e.textContent)"
HALF = np.repeat(np.array([[30, 90, 200], [250, 120, 10]], np.uint8), 4, axis=0)[:, None].repeat(8, axis=1)
"""(8, 8, 3): the upper half blue, the lower orange."""


def give(tab: Any, content: bytes, how: str, name: str = "half.png", kind: str = "image/png") -> None:
    """Hand a file to the page as a browser does when a person drops or pastes it."""
    data = base64.b64encode(content).decode()
    tab.run(f"""(() => {{
      const file = new File([Uint8Array.from(atob("{data}"), c => c.charCodeAt(0))], {json.dumps(name)}, {{type: "{kind}"}});
      const carried = new DataTransfer();
      carried.items.add(file);
      const at = document.getElementById("drop");
      document.getElementById("status").textContent = "";
      if ("{how}" === "paste") at.dispatchEvent(new ClipboardEvent("paste", {{clipboardData: carried, bubbles: true}}));
      else for (const type of ["dragenter", "dragover", "drop"])
        at.dispatchEvent(new DragEvent(type, {{dataTransfer: carried, bubbles: true, cancelable: true}}));
    }})()""")


def choose(tab: Any, model: str) -> None:
    tab.run(
        f"(s => {{ s.value = '{model}'; s.dispatchEvent(new Event('change')); }})(document.getElementById('model'))"
    )


@pytest.fixture
def opened(tab: Any, page: Any) -> Any:
    tab.visit(page.url)
    tab.until("document.querySelectorAll('#examples canvas').length === 2")
    return tab


def expected(demo_tools: Any, pixels: np.ndarray, mean: Any = None, std: Any = None) -> list[str]:
    """The rows that the page is to show for an image of the model's own size."""
    x = ((pixels / 255 - (mean or demo_tools.MEAN)) / (std or demo_tools.STD)).transpose(2, 0, 1)[None]
    scores = demo_tools.softmax(demo_tools.signs(x)["logits"])[0]
    order = np.argsort(-scores)
    return [word for i in order for word in (demo_tools.CLASSES[i], f"{100 * scores[i]:.1f} %")]


def test_it_opens_with_what_is_served_and_asks_nobody_else(opened: Any, page: Any) -> None:
    assert opened.run("[...document.querySelectorAll('#model option')].map(o => o.value)") == ["signs", "cut"]
    left = opened.run("document.getElementById('left').textContent")
    assert left.startswith(
        "tokens is served and not shown: the model takes ids int64 [batch=1:2:4, 4], which is not an image"
    )
    assert opened.run("[document.getElementById('mean').value, document.getElementById('std').value]") == [
        "0.5,0.4,0.3", "0.2,0.3,0.4",
    ]  # fmt: skip
    assert opened.run("document.getElementById('known').textContent") == ""
    assert {url[: len(page.url)] for url in opened.requests()} == {page.url}
    assert opened.complaints() == []


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_an_image_that_is_dropped_or_pasted_becomes_the_classes_that_numpy_says(
    opened: Any, demo_tools: Any, how: str
) -> None:
    give(opened, demo_tools.png(HALF), how)
    opened.until(ANSWERED)
    assert opened.run(SHOWN) == expected(demo_tools, HALF)
    assert (
        opened.run("document.querySelector('#outputs p').textContent") == "the best of 4 classes; softmax of the scores"
    )
    assert not opened.run("document.getElementById('drop').classList.contains('over')")
    assert opened.complaints() == []


def test_a_file_that_is_chosen_does_too(opened: Any, demo_tools: Any, tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(demo_tools.png(HALF))
    root = opened.call("DOM.getDocument")["root"]["nodeId"]
    node = opened.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    opened.call("DOM.setFileInputFiles", nodeId=node, files=[str(tmp_path / "half.png")])
    opened.until(ANSWERED)
    assert opened.run(SHOWN) == expected(demo_tools, HALF)


def test_the_name_of_a_class_is_text(opened: Any, demo_tools: Any) -> None:
    give(opened, demo_tools.png(HALF), "drop")
    opened.until(ANSWERED)
    assert "<b>cat</b>" in opened.run("[...document.querySelectorAll('.label')].map(e => e.textContent)")
    assert opened.run("document.querySelectorAll('.label b').length") == 0


def test_the_attention_map_lies_over_the_image(opened: Any, demo_tools: Any) -> None:
    give(opened, demo_tools.png(HALF), "drop")
    opened.until(ANSWERED)
    assert opened.run("[...document.querySelectorAll('#attention figcaption b')].map(e => e.textContent)") == [
        "image", "look · SpatialGate",
    ]  # fmt: skip
    np.testing.assert_array_equal(opened.bytes("document.querySelector('#attention canvas')")[..., :3], HALF)
    heat = opened.bytes("document.querySelector('#attention .over')")[..., :3].astype(int)
    assert heat.shape == (8, 8, 3)
    x = ((HALF / 255 - demo_tools.MEAN) / demo_tools.STD).transpose(2, 0, 1)[None]
    weights = demo_tools.signs(x)["attention.look"][0, 0]
    high = weights > weights.mean()
    assert (heat[high] == [252, 255, 164]).all() and (heat[~high] == [0, 0, 4]).all(), "inferno's ends"
    box = opened.run("""(() => { const [a, b] = [".over", ".stack"].map(s => document.querySelector(`#attention figure:nth-child(2) ${s}`)
      .getBoundingClientRect()); return [a.width / (b.width - 2), a.height / (b.height - 2)]; })()""")
    assert box == pytest.approx([1, 1], abs=0.01), "it covers the whole image"


def test_a_sample_of_the_bundle_can_be_taken(opened: Any, demo_tools: Any, bundles: list[Path]) -> None:
    with np.load(bundles[0] / "golden.npz") as golden:
        truth = demo_tools.softmax(golden["truth/1/logits"])[1]
    opened.run("document.querySelectorAll('#examples button')[1].click()")
    opened.until(ANSWERED)
    best = int(truth.argmax())
    assert opened.run(SHOWN)[:2] == [demo_tools.CLASSES[best], f"{100 * truth[best]:.1f} %"]


def test_another_scale_looks_again(opened: Any, demo_tools: Any) -> None:
    give(opened, demo_tools.png(HALF), "drop")
    opened.until(ANSWERED)
    before = opened.run(SHOWN)
    opened.run("""(() => { document.getElementById("status").textContent = "";
      const box = document.getElementById("std"); box.value = "1"; box.dispatchEvent(new Event("change")); })()""")
    opened.until(ANSWERED)
    assert opened.run(SHOWN) == expected(demo_tools, HALF, std=(1, 1, 1)) != before


def test_a_mask_gives_each_pixel_its_class(opened: Any, demo_tools: Any) -> None:
    choose(opened, "cut")
    assert opened.run("document.getElementById('known').textContent").startswith("The bundle does not say how")
    ramp = np.tile(np.linspace(0, 255, 10).astype(np.uint8), (6, 1))
    give(opened, demo_tools.png(ramp), "drop")
    opened.until(ANSWERED)
    best = demo_tools.cut((ramp / 255)[None, None])["scores"][0].argmax(0)
    colours = opened.run("import('/draw.js').then(d => [0, 1, 2].map(d.classColour))")
    mask = opened.bytes("document.querySelector('#outputs .over')")[..., :3]
    np.testing.assert_array_equal(mask, np.array(colours, np.uint8)[best])
    shares = np.bincount(best.ravel(), minlength=3) / best.size
    rows = opened.run(SHOWN)
    assert dict(zip(rows[::2], rows[1::2], strict=True)) == {
        f"class {i}": f"{100 * share:.1f} %" for i, share in enumerate(shares) if share
    }
    assert opened.run("document.querySelectorAll('#attention figure').length") == 1, "no map, the image alone"


def test_what_is_no_image_is_said_and_nothing_old_stays(opened: Any, demo_tools: Any) -> None:
    give(opened, demo_tools.png(HALF), "drop")
    opened.until(ANSWERED)
    give(opened, b"once upon a time", "drop", "story.txt", "text/plain")
    said = opened.until("document.querySelector('#status.wrong')?.textContent")
    assert said.startswith("what was sent cannot be read as an image (")
    assert opened.run("document.querySelectorAll('#outputs *, #attention *').length") == 0
    assert [c for c in opened.complaints() if "400" not in c] == []


def test_the_last_of_two_images_is_the_one_that_is_shown(opened: Any, demo_tools: Any) -> None:
    other = 255 - HALF
    data = [base64.b64encode(demo_tools.png(pixels)).decode() for pixels in (HALF, other)]
    opened.run("""(() => {
      const real = window.fetch, asked = [];
      window.fetch = async (...words) => {
        const turn = asked.push(words);
        const answer = await real(...words);
        if (turn === 1) {
          await new Promise(done => setTimeout(done, 300));
          setTimeout(() => { window.late = 1; }, 300);
        }
        return answer;
      };
    })()""")
    opened.run(f"""(() => {{ for (const text of {json.dumps(data)}) {{
      const carried = new DataTransfer();
      carried.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], "a.png", {{type: "image/png"}}));
      document.dispatchEvent(new DragEvent("drop", {{dataTransfer: carried, bubbles: true, cancelable: true}}));
    }} }})()""")
    opened.until("window.late")
    opened.until(ANSWERED)
    assert opened.run(SHOWN) == expected(demo_tools, other)


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone_and_reads_in_light_and_dark(opened: Any, demo_tools: Any, dark: bool) -> None:
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    opened.call("Emulation.setEmulatedMedia", media="", features=scheme)
    give(opened, demo_tools.png(HALF), "drop")
    opened.until(ANSWERED)
    ground = opened.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 22, 26)" if dark else "rgb(255, 255, 255)")
    for width in (1200, 390):
        opened.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        assert opened.run("document.documentElement.scrollWidth") <= width
    opened.call("Emulation.setEmulatedMedia", media="", features=[])


def test_keys_are_enough(opened: Any) -> None:
    opened.run("document.getElementById('file').click = () => { document.title = 'asked for a file'; }")
    opened.run("document.getElementById('drop').focus()")
    opened.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))")
    assert opened.run("document.title") == "asked for a file"
    assert opened.run("[...document.querySelectorAll('#examples button')].every(b => b.getAttribute('aria-label'))")
