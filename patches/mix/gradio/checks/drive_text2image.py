"""gradio_text2image.py in Chromium: four tabs, seeds, two users, cancel, bad input, a killed server.

On both bases ppdiffusers' own pipelines run, on tiny models with seeded random weights; on the fork base AppFlow makes them.
"""

import os

import imageio
import numpy as np
import pages
import pytest
from PIL import Image

PROGRAM = [os.path.join(pages.DIRECTORY, "gradio_text2image.py")]
TABS = ["upscaling", "image2image", "dual_guided", "text2video"]
MODELS = [
    "stabilityai/stable-diffusion-x4-upscaler",
    "Linaqruf/anything-v3.0",
    "shi-labs/versatile-diffusion",
    "damo-vilab/text-to-video-ms-1.7b",
]
NUMBERS = {
    "upscaling": {"steps": 3, "longest_side": 64, "noise_level": 20},
    "image2image": {"steps": 4, "width": 96, "height": 64, "strength": 0.75},
    "dual_guided": {"steps": 3, "width": 96, "height": 64, "text_strength": 0.5},
    "text2video": {"steps": 2, "width": 64, "height": 64, "frames": 4, "fps": 4},  # seconds of CPU: Paddle's conv3d
}
SIZES = {"upscaling": (256, 192), "image2image": (96, 64), "dual_guided": (96, 64), "text2video": (64, 64)}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    y, x = np.mgrid[0:90, 0:120]
    Image.fromarray(np.stack([x * 2, y * 2, 255 - x], -1).astype(np.uint8)).save(str(path))
    return path


def fill(user, tab, photo, seed, prompt="a red house in the sun", negative="", **numbers):
    user.tab(TABS.index(tab))
    if tab != "text2video" and user.page.locator("#%s-image img" % tab).count() == 0:
        user.upload(tab + "-image", photo)
    user.write(tab + "-prompt", prompt)
    if tab != "dual_guided":
        user.write(tab + "-negative", negative)
    for name, number in {**NUMBERS[tab], **numbers, "seed": seed}.items():
        user.write("%s-%s" % (tab, name), number)


def pixels(user, tab, folder):
    with Image.open(user.download(tab + "-download", folder)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("tab", TABS)
def test_a_tab(user, server, photo, tmp_path, tab):
    locale = "zh-CN" if tab in TABS[::2] else "en-US"
    someone = user(locale)
    fill(someone, tab, photo, 7)
    someone.run(tab)
    someone.wait(tab, r"完成，用时 [\d.]+ 秒，种子 7" if tab in TABS[::2] else r"Done in [\d.]+ s with seed 7")
    assert someone.elsewhere == []
    assert server.runs() == []
    if tab != "text2video":
        assert someone.shown(tab + "-result") == SIZES[tab]
        image = pixels(someone, tab, tmp_path)
        assert image.shape[1::-1] == SIZES[tab] and image.std() > 5
        someone.picture("done")
        pages.results_fit(someone, locale)
        return
    video = someone.page.locator("#text2video-result video")
    someone.page.wait_for_function("document.querySelector('#text2video-result video').readyState >= 2")
    width, height, seconds = video.evaluate("v => [v.videoWidth, v.videoHeight, v.duration]")
    assert (width, height) == SIZES[tab] and abs(seconds - 1) < 0.1 and video.evaluate("v => v.error") is None
    assert someone.shown("text2video-gif") == SIZES[tab]
    someone.picture("done")
    pages.results_fit(someone, locale)
    with imageio.get_reader(someone.download("text2video-download", tmp_path)) as reader:
        assert (reader.get_meta_data()["codec"], reader.get_meta_data()["fps"]) == ("h264", 4.0)
        frames = [np.asarray(frame) for frame in reader]
    assert len(frames) == 4 and frames[0].shape == (64, 64, 3) and np.abs(frames[0].astype(int) - frames[-1]).mean() > 1
    with Image.open(someone.download("text2video-download", tmp_path, 1)) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (4, SIZES[tab], 0)


def test_seeds_and_negative_prompts(user, photo, tmp_path):
    someone = user()
    made = {}
    for name, seed, negative in [("first", 3, ""), ("again", 3, ""), ("other", 4, ""), ("negative", 3, "blue, dark")]:
        fill(someone, "image2image", photo, seed, negative=negative)
        someone.run("image2image")
        someone.wait("image2image", "with seed %d" % seed)
        made[name] = pixels(someone, "image2image", tmp_path)
    assert (made["first"] == made["again"]).all()
    for name in ("other", "negative"):
        assert (made["first"] != made[name]).any(), name
    fill(someone, "image2image", photo, -1)
    someone.run("image2image")
    assert "with seed -1" not in someone.wait("image2image", r"with seed \d+")


def test_two_users_at_once(user, server, photo, tmp_path):
    """Each gets what he gets when he is alone; the models are loaded once for both."""
    users = [user("en-US"), user("zh-CN")]
    words = ("with seed %d", "种子 %d")
    alone = []
    for number, (someone, word) in enumerate(zip(users, words)):
        fill(someone, "upscaling", photo, 20 + number, prompt="picture of user %d" % number)
        someone.run("upscaling")
        someone.wait("upscaling", word % (20 + number))
        alone.append(pixels(someone, "upscaling", tmp_path))
    before = server.workers()
    for someone in users:
        someone.write("upscaling-steps", 3)
        someone.run("upscaling")
    for number, (someone, word) in enumerate(zip(users, words)):
        someone.wait("upscaling", word % (20 + number))
        someone.picture("user%d" % number)
        assert (pixels(someone, "upscaling", tmp_path) == alone[number]).all()
    assert (alone[0] != alone[1]).any()
    assert server.workers() == before and len(before) == 1


def test_cancel_in_mid_run(user, server, photo):
    """One user cancels; the one who waits behind gets his result, from the same process."""
    first, second = user("en-US"), user("zh-CN")
    fill(first, "image2image", photo, 1, steps=200)
    fill(second, "image2image", photo, 2)
    first.run("image2image")
    first.wait("image2image", r"Step \d+ of 150")
    before = server.workers()
    second.run("image2image")
    second.wait("image2image", "排队中，前面还有 1 个任务")
    first.picture("running")
    second.picture("waiting")
    first.cancel("image2image")
    first.wait("image2image", "Cancelled; no result was kept")
    second.wait("image2image", "种子 2")
    assert first.page.locator("#image2image-result img").count() == 0
    assert server.workers() == before
    assert server.runs() == []


def test_a_closed_window_ends_its_run(user, server, photo):
    first, second = user(), user()
    fill(first, "image2image", photo, 1, steps=200)
    fill(second, "image2image", photo, 2)
    first.run("image2image")
    first.wait("image2image", r"Step \d+ of 150")
    first.page.close()
    second.run("image2image")
    second.wait("image2image", "with seed 2")
    assert server.runs() == []


@pytest.mark.parametrize(("name", "message"), pages.BAD_FILES.items(), ids=list(pages.BAD_FILES))
def test_bad_images(user, server, bad_files, name, message):
    someone = user()
    someone.page.locator("#upscaling-image input[type=file]").set_input_files(str(bad_files / name))
    someone.page.wait_for_timeout(2000)
    someone.write("upscaling-prompt", "a dog")
    someone.run("upscaling")
    # an empty file may be refused by gradio's image component before it arrives
    someone.wait("upscaling", message if name != "empty.png" else message + "|There is no image")
    someone.picture("refused")
    assert server.runs() == []


def test_bad_words_and_numbers(user, photo):
    someone = user("zh-CN")
    someone.run("upscaling")
    someone.wait("upscaling", "提示词为空")
    fill(someone, "upscaling", photo, 1, prompt="a" * 10000)
    someone.run("upscaling")
    someone.wait("upscaling", "提示词有 10000 个字符，最多 1000 个：请缩短后再试")
    someone.picture("refused")
    someone.write("upscaling-prompt", "a dog")
    someone.write("upscaling-seed", 10**12)
    someone.run("upscaling")
    someone.wait("upscaling", "随机种子，-1 为随机 为 1000000000000，应在 -1 与")


def test_too_few_steps_and_long_prompts(user, photo):
    someone = user()
    fill(someone, "image2image", photo, 1, steps=3, strength=0.25)
    someone.run("image2image")
    someone.wait("image2image", r"\[Failed\] 3 steps times a strength of 0.25 is less than one step.*at least 4 steps")
    fill(someone, "image2image", photo, 1, prompt="a red house in the sun " * 20 + "zebra")
    someone.run("image2image")
    someone.wait("image2image", r"\[Done\].*prompt has \d+ tokens and the model reads \d+; not read: ")
    someone.picture("long")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_every_screen(user, locale, size):
    someone = user(locale, *size)
    pages.speaks_one_language(someone, locale)
    pages.fits(someone, TABS)
    someone.picture("page")


def test_a_killed_server_leaves_nothing_to_the_next(user, server, photo):
    first = user()
    fill(first, "image2image", photo, 1, steps=200)
    first.run("image2image")
    first.wait("image2image", r"Step \d+ of 150")
    server.crash_and_restart()
    second = user()
    fill(second, "upscaling", photo, 7)
    second.run("upscaling")
    second.wait("upscaling", "with seed 7")
