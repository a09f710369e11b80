# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Programs of BLIP-2 retrieval as a user runs them, on made pictures in the published formats, with a tiny model. Nothing is downloaded."""

import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import zipfile

import numpy as np
from paddlenlp.trainer import TrainingArguments
from PIL import Image, ImageDraw

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
EXAMPLES = os.path.join(ROOT, "paddlemix", "examples", "blip2")
sys.path[:0] = [HERE, ROOT, EXAMPLES]
import convert_retrieval  # noqa: E402
import export_retrieval  # noqa: E402
import retrieval_data  # noqa: E402
import retrieval_search  # noqa: E402
import run_eval_retrieval  # noqa: E402
import run_finetune_retrieval  # noqa: E402
from test_blip2_retrieval import hf_state, tiny  # noqa: E402

COLORS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 220), "yellow": (230, 210, 40)}
SHAPES = ("disc", "box", "cross")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("a", "the", "is", "there", "on", "gray", "that", "of", *COLORS, *SHAPES, "left", "right", "top", "bottom")

# the evaluation, killed in the picture batch of that number; not a fork of this process, whose threads a child would not have
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import run_eval_retrieval
embeds, kill_at, count = run_eval_retrieval.Evaluation._embeds, int(sys.argv[2]), [0]
def counted(*args):
    count[0] += 1
    if count[0] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return embeds(*args)
run_eval_retrieval.Evaluation._embeds = counted
sys.exit(run_eval_retrieval.main(sys.argv[3:]))
"""


def scene(seed, size=56):
    """(picture, two captions): one shape of one color on gray, at one of four places."""
    draw = np.random.default_rng(seed)
    color, shape = list(COLORS)[draw.integers(4)], SHAPES[draw.integers(3)]
    side, level = ("left", "right")[draw.integers(2)], ("top", "bottom")[draw.integers(2)]
    gray = int(draw.integers(100, 150))
    image = Image.new("RGB", (size, size), (gray, gray, gray))
    pen, x, y, r = ImageDraw.Draw(image), size // 4 + (side == "right") * size // 2, size // 4, size // 6
    y += (level == "bottom") * size // 2
    if shape == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=COLORS[color])
    elif shape == "box":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=COLORS[color])
    else:
        pen.rectangle((x - r, y - 3, x + r, y + 3), fill=COLORS[color])
        pen.rectangle((x - 3, y - r, x + 3, y + r), fill=COLORS[color])
    return image, [f"A {color} {shape}, {level} {side}.", f"there is a {shape} that is {color} on the {side} {level}"]


def write_set(folder, number, first=0, train=0):
    """dataset_coco.json and its pictures; returns (annotations, folder of pictures)."""
    os.makedirs(os.path.join(folder, "coco", "val2014"), exist_ok=True)
    rows = []
    for index in range(number + train):
        image, captions = scene(first + index)
        name = f"COCO_val2014_{first + index:012d}.png"
        image.save(os.path.join(folder, "coco", "val2014", name))
        split = "test" if index < number else ("train", "restval")[index % 2]
        rows.append({"filepath": "val2014", "filename": name, "split": split, "cocoid": first + index})
        rows[-1]["sentences"] = [{"raw": text} for text in captions]
    path = os.path.join(folder, "dataset_coco.json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump({"dataset": "coco", "images": rows}, stream)
    return path, os.path.join(folder, "coco")


def write_vocabulary(folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as stream:
        stream.write("\n".join((*SPECIAL, *WORDS)) + "\n")


def quiet(function, *args):
    """(what it returned, standard error)."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        return function(*args), errors.getvalue()


class FolderTest(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = made.name

    def place(self, *names):
        return os.path.join(self.folder, *names)


class DataTest(FolderTest):
    def write(self, value, name="set.json"):
        with open(self.place(name), "w", encoding="utf-8") as stream:
            stream.write(value if isinstance(value, str) else json.dumps(value))
        return self.place(name)

    def test_formats(self):
        path, _ = write_set(self.folder, 3, train=4)
        rows = retrieval_data.read_karpathy(path)
        self.assertEqual((len(rows), len(rows[0]["captions"])), (3, 2))
        self.assertEqual(rows[0]["image"], "val2014/COCO_val2014_000000000000.png")
        self.assertEqual(len(retrieval_data.read_karpathy(path, "train")), 4)  # restval is a part of it
        path = self.write(
            [{"image": "flickr30k-images/1.jpg", "caption": ["a", "b"]}, {"image": "2.jpg", "caption": ["c"]}]
        )
        self.assertEqual(retrieval_data.read_karpathy(path)[0]["captions"], ["a", "b"])
        path = self.write(
            [
                {"image": "1.jpg", "caption": "a"},
                {"image": "2.jpg", "caption": "b"},
                {"image": "1.jpg", "caption": "c"},
            ]
        )
        self.assertEqual([row["captions"] for row in retrieval_data.read_karpathy(path)], [["a", "c"], ["b"]])
        path = self.write("\ufeff" + json.dumps([{"image": "1.jpg", "caption": ["a"]}]))
        self.assertEqual(len(retrieval_data.read_karpathy(path)), 1)

    def test_faults(self):
        row = {"image": "1.jpg", "caption": ["a"]}
        for value, message in (
            ([row, row], "picture 1.jpg stands there twice"),
            ([{"image": "1.jpg", "caption": []}], "1.jpg has no caption"),
            ([{"image": "1.jpg"}], "row 0 lacks 'caption'"),
            ({"images": []}, "gives no picture .split 'test'."),
            ("{", "is no JSON"),
        ):
            with self.assertRaisesRegex(retrieval_data.DataError, message + ".*next"):
                retrieval_data.read_karpathy(self.write(value))
        with self.assertRaisesRegex(retrieval_data.DataError, "no such file.*next"):
            retrieval_data.read_karpathy(self.place("none.json"))

    def test_pictures_of_a_zip(self):
        path, images = write_set(self.folder, 2)
        names = [row["image"] for row in retrieval_data.read_karpathy(path)]
        with zipfile.ZipFile(self.place("coco.zip"), "w") as archive:
            for name in names:
                archive.write(os.path.join(images, name), "coco/" + name)
        folder, packed = retrieval_data.Pictures(images), retrieval_data.Pictures(self.place("coco.zip"))
        packed.check(names)
        for name in names:
            np.testing.assert_array_equal(np.asarray(folder.open(name)), np.asarray(packed.open(name)))
        for pictures in (folder, packed):
            with self.assertRaisesRegex(retrieval_data.DataError, "other.png is missing, 1 of 3 are; next"):
                pictures.check([*names, "other.png"])
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        for image, mode, size in (
            (Image.new("RGBA", (6, 4), (0, 0, 0, 0)), "png", (6, 4)),  # transparent: white
            (Image.new("RGB", (6, 4), "white"), "jpg", (4, 6)),
            (Image.fromarray(np.full([4, 6], 65535, np.uint16)), "tiff", (6, 4)),
        ):
            image.save(os.path.join(images, "odd." + mode), **({"exif": exif} if mode == "jpg" else {}))
            found = folder.open("odd." + mode)
            self.assertEqual((found.mode, found.size, np.asarray(found).min()), ("RGB", size, 255))
        Image.fromarray(np.zeros([4, 6], np.float32)).save(os.path.join(images, "float.tiff"))
        with self.assertRaisesRegex(retrieval_data.DataError, "float.tiff cannot be read.*next"):
            folder.open("float.tiff")
        with open(os.path.join(images, names[0]), "wb") as stream:
            stream.write(b"no picture")
        with self.assertRaisesRegex(retrieval_data.DataError, "cannot be read.*next"):
            folder.open(names[0])

    def test_captions(self):
        write_vocabulary(self.folder)
        processor = retrieval_data.Processor(self.folder, 28, 8)
        ids, mask = processor.texts(["A red disc!", "red " * 40, ""])
        self.assertEqual(ids.shape, (3, 8))
        words = processor.tokenizer.convert_ids_to_tokens(ids[0].tolist())
        self.assertEqual(words[:5], ["[CLS]", "a", "red", "disc", "[SEP]"])
        self.assertEqual(mask.sum(axis=1).tolist(), [5, 8, 2])
        self.assertEqual(processor.tokenizer.convert_ids_to_tokens(ids[1].tolist())[-1], "[SEP]")  # cut at its end
        with self.assertRaisesRegex(retrieval_data.DataError, "vocab.txt.*next"):
            retrieval_data.Processor(self.place("nowhere"))


class EvaluationTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.annotations, self.images = write_set(self.folder, 7)
        self.model = self.place("model")
        tiny().save_pretrained(self.model)
        write_vocabulary(self.model)

    def words(self, out, **options):
        made = [
            "--model",
            self.model,
            "--annotations",
            self.annotations,
            "--images",
            self.images,
            "--output_dir",
            self.place(out),
        ]
        made += [
            "--device",
            "cpu",
            "--batch_size",
            "2",
            "--k_test",
            "4",
            "--max_length",
            "8",
            "--match_size",
            "3",
            "--worst",
            "2",
        ]
        for name, value in options.items():
            made += ["--" + name, str(value)]
        return made

    def run_apart(self, words, kill_at=None, **variables):
        """Exit status of a run in a process of its own, which with `kill_at` is killed in that picture batch."""
        command = [sys.executable, "-c", KILLED, EXAMPLES, str(kill_at or 0), *words]
        environment = dict(os.environ, PYTHONPATH=ROOT + os.pathsep + os.environ.get("PYTHONPATH", ""), **variables)
        return subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode

    def results(self, out):
        with open(self.place(out, "results.json"), encoding="utf-8") as stream:
            return json.load(stream)["recall"]

    def test_killed_and_shared(self):
        self.assertEqual(self.run_apart(self.words("whole")), 0)
        want = self.results("whole")
        self.assertEqual(set(want), {"ITC", "ITC and ITM"})
        for kill_at in (3, 6):  # among the features, among the matches
            out = f"cut{kill_at}"
            self.assertEqual(self.run_apart(self.words(out), kill_at), -signal.SIGKILL)
            self.assertEqual(self.run_apart(self.words(out)), 0)
            self.assertEqual(self.results(out), want)
        two = {"PADDLE_TRAINERS_NUM": "2"}
        self.assertEqual(self.run_apart(self.words("two"), 3, PADDLE_TRAINER_ID="1", **two), -signal.SIGKILL)
        self.assertEqual(
            self.run_apart(self.words("two"), PADDLE_TRAINER_ID="0", **two), 0
        )  # takes the dead one's part over
        self.assertEqual(self.results("two"), want)
        with open(self.place("two", "report.html"), encoding="utf-8") as stream:
            page = stream.read()
        self.assertTrue(page.count("data:image/jpeg") >= 4 and "http" not in page.replace("doctype html", ""))
        with open(self.place("two", "report.md"), encoding="utf-8") as stream:
            self.assertIn("other weights, another run", stream.read())

    def test_similarity_alone_and_sizes(self):
        """Neither the size of batches nor of what is matched together changes a figure."""
        for out, options in (("a", {"k_test": 0}), ("b", {}), ("c", {"batch_size": 7, "match_size": 100})):
            self.assertEqual(quiet(run_eval_retrieval.main, self.words(out, **options))[0], 0)
        self.assertEqual(self.results("a")["ITC"], self.results("b")["ITC"])
        self.assertEqual(self.results("b"), self.results("c"))

    def test_faults(self):
        self.assertEqual(quiet(run_eval_retrieval.main, self.words("out", k_test=0))[0], 0)
        for options, message in (
            ({"k_test": 3}, "another run (k_test was 0, now 3)"),
            ({"images": self.place("none")}, "no such folder"),
            ({"split": "val"}, "gives no picture"),
            ({"model": self.place("none")}, "holds no config.json"),
        ):
            code, errors = quiet(run_eval_retrieval.main, self.words("out", **options))
            self.assertTrue(code == 1 and message in errors and "next" in errors, errors)
        piece = self.place("out", "raw", "images-000000002.npy")
        with open(piece, "wb") as stream:
            stream.write(b"half")
        code, errors = quiet(run_eval_retrieval.main, self.words("out", k_test=0))
        self.assertTrue(code == 1 and "images-000000002.npy: cannot be read" in errors, errors)
        os.remove(piece)
        self.assertEqual(quiet(run_eval_retrieval.main, self.words("out", k_test=0))[0], 0)

    def test_converted(self):
        """From files in the published layout to the first figure."""
        from test_blip2_retrieval import WIDTHS

        model, source = tiny(ln_vision_epsilon=1e-6), self.place("published")
        os.makedirs(source)
        vision = {
            "image_size": 28,
            "patch_size": 14,
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        }
        vision.update(intermediate_size=48, layer_norm_eps=1e-6, hidden_act="gelu", qkv_bias=True)
        qformer = {**WIDTHS, "max_position_embeddings": 12, "hidden_act": "gelu", "cross_attention_frequency": 2}
        config = {
            "vision_config": vision,
            "qformer_config": qformer,
            "num_query_tokens": 3,
            "image_text_hidden_size": 8,
        }
        with open(os.path.join(source, "config.json"), "w") as stream:
            json.dump(config, stream)
        write_vocabulary(source)
        state, header, data = hf_state(model), {}, b""
        for name, value in state.items():
            raw = np.ascontiguousarray(value, np.float32).tobytes()
            header[name] = {
                "dtype": "F32",
                "shape": list(value.shape),
                "data_offsets": [len(data), len(data) + len(raw)],
            }
            data += raw
        text = json.dumps({**header, "__metadata__": {"format": "pt"}}).encode()
        with open(os.path.join(source, "model.safetensors"), "wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text + data)
        self.assertEqual(quiet(convert_retrieval.main, [source, self.place("made")])[0], 0)
        model.save_pretrained(self.model)
        for out, path in (("a", self.model), ("b", self.place("made"))):
            self.assertEqual(quiet(run_eval_retrieval.main, self.words(out, model=path))[0], 0)
        self.assertEqual(self.results("a"), self.results("b"))
        # the other documented commands on the converted directory: an index, an answer, the programs
        more = ["--model", self.place("made"), "--index", self.place("index"), "--max_length", "8"]
        self.assertEqual(quiet(retrieval_search.main, ["embed", self.images, *more])[0], 0)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(retrieval_search.main(["search", "a red disc", "--number", "1", *more]), 0)
        self.assertTrue(os.path.isfile(said.getvalue().strip().split(" ", 1)[1]), said.getvalue())
        words = ["--model", self.place("made"), "--out", self.place("static"), "--max_length", "8"]
        self.assertEqual(quiet(export_retrieval.main, words)[0], 0)
        self.assertTrue(all(os.path.isfile(self.place("static", name + ".pdiparams")) for name in ("image", "text")))
        code, errors = quiet(
            convert_retrieval.main, [os.path.join(source, "model.safetensors"), self.place("x"), "--vocab", "none"]
        )
        self.assertTrue(code == 1 and "vocab.txt of bert-base-uncased" in errors, errors)


class SearchTest(FolderTest):
    def test_index(self):
        _, images = write_set(self.folder, 5)
        model, index = self.place("model"), self.place("index")
        tiny().save_pretrained(model)
        write_vocabulary(model)
        more = ["--model", model, "--index", index, "--max_length", "8"]
        self.assertEqual(quiet(retrieval_search.main, ["embed", images, "--batch_size", "2", *more])[0], 0)
        one, first = retrieval_search.Searcher(model, 8), retrieval_search.Index.read(index)
        with one.paddle.no_grad():
            pixels = one.processor.pictures([retrieval_data.Pictures(images).open(name) for name in first.names])
            want = one.model.image_features(one.model.image_embeds(one.paddle.to_tensor(pixels))).numpy()
        np.testing.assert_allclose(first.features, want, atol=1e-5)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(retrieval_search.main(["search", "a red disc", "--number", "3", *more]), 0)
        lines = said.getvalue().split("\n")[:-1]
        scores = (want @ one.words("a red disc")).max(axis=1)
        self.assertEqual(
            lines[0].split(" ")[1], os.path.join(os.path.abspath(images), first.names[int(scores.argmax())])
        )
        self.assertEqual(len(lines), 3)
        # one picture more, one less, one that is none
        os.remove(os.path.join(images, first.names[0]))
        scene(77)[0].save(os.path.join(images, "new.png"))
        with open(os.path.join(images, "broken.jpg"), "w") as stream:
            stream.write("no picture")
        code, errors = quiet(retrieval_search.main, ["embed", images, *more])
        self.assertTrue(code == 3 and "broken.jpg" in errors, errors)
        made, new, _ = one.embed(images, index)
        self.assertEqual((len(made.names), new), (5, 0))
        self.assertEqual(set(made.names) - set(first.names), {"new.png"})
        tiny(seed=5).save_pretrained(model)
        for words, message in (
            (["search", "red", *more], "of other weights"),
            (["embed", images, *more], "of other weights"),
            (["embed", model, *more], "holds no picture"),
            (["search", "red", "--model", model, "--index", self.place("none")], "is no index"),
        ):
            code, errors = quiet(retrieval_search.main, words)
            self.assertTrue(code == 1 and message in errors and "next" in errors, errors)
        with self.assertRaisesRegex(retrieval_data.DataError, "no words"):
            one.words("  ")

    def test_answers(self):
        """What the page asks for: words, a picture, what is wrong with either; a file of captions with a BOM and empty lines."""
        _, images = write_set(self.folder, 4)
        model, index = self.place("model"), self.place("index")
        tiny().save_pretrained(model)
        write_vocabulary(model)
        self.assertEqual(quiet(retrieval_search.main, ["embed", images, "--model", model, "--index", index])[0], 0)
        with open(self.place("captions.txt"), "w", encoding="utf-8-sig") as stream:
            stream.write("a red disc\n\n a blue box \n")
        one, made = retrieval_search.Searcher(model, 8), retrieval_search.Index.read(index)
        captions = one.captions(self.place("captions.txt"))
        self.assertEqual(captions[0], ["a red disc", "a blue box"])

        def ask(**request):
            return retrieval_search.answer(one, made, captions, request)

        self.assertEqual(ask(), {"pictures": 4, "captions": 2})
        more = {"number": 3, "folder": self.folder}
        found = ask(words="a red disc", **more)
        want = made.search(one.words("a red disc"), 3)
        self.assertEqual([(name, score) for _, name, score in found["found"]], want)
        self.assertFalse(found["cut"] or found["gone"])
        self.assertTrue(ask(words="red " * 7, **more)["cut"])
        self.assertFalse(ask(words="red " * 6, **more)["cut"])  # with [CLS] and [SEP] these are eight
        path = os.path.join(images, made.names[2])
        found = ask(picture=path, **more)
        self.assertEqual(found["found"][0][1], made.names[2])
        self.assertAlmostEqual(found["found"][0][2], 1, delta=1e-5)
        self.assertEqual(len(found["captions"]), 2)
        self.assertGreaterEqual(found["captions"][0][1], found["captions"][1][1])
        os.remove(path)
        self.assertEqual(ask(words="a red disc", **{**more, "number": 9})["gone"], [made.names[2]])
        for request, message in (({"picture": path}, "cannot be read"), ({"words": " "}, "no words")):
            with self.assertRaisesRegex(retrieval_data.DataError, message + ".*next"):
                ask(**request, **more)
        with open(self.place("captions.txt"), "wb") as stream:
            stream.write("\u4e2d".encode("gbk"))
        with self.assertRaisesRegex(retrieval_data.DataError, "UTF-8.*next"):
            one.captions(self.place("captions.txt"))


class DocumentsTest(unittest.TestCase):
    def test_commands(self):
        """Every command of both documents is one that the programs take, and the documents have the same ones."""
        commands = []
        for name in ("retrieval.md", "retrieval_en.md"):
            with open(os.path.join(EXAMPLES, name), encoding="utf-8") as stream:
                text = stream.read().replace("\\\n", " ")
            commands.append([line for line in text.split("\n") if line.startswith("python ")])
        self.assertEqual(*commands)
        for line in commands[0]:
            program, words = line.split(".py ", 1)
            program, words = program.split("/")[-1], shlex.split(words)
            if program == "run_finetune_retrieval":
                options = (run_finetune_retrieval.TuningArguments, TrainingArguments)
                known = [name for kind in options for name in kind.__dataclass_fields__]
                self.assertTrue(all(word[2:] in known for word in words if word.startswith("--")), line)
            elif program == "export_retrieval":
                self.assertEqual(words[::2], ["--model", "--out"])
            elif program == "retrieval_page":  # its options, read without gradio
                with open(os.path.join(EXAMPLES, "retrieval_page.py"), encoding="utf-8") as stream:
                    known = stream.read()
                self.assertTrue(all(f'"{word}"' in known for word in words if word.startswith("--")), line)
            else:
                module = {"convert_retrieval": convert_retrieval, "retrieval_search": retrieval_search}
                self.assertIsNotNone(module.get(program, run_eval_retrieval).arguments(words), line)
        self.assertEqual(len(commands[0]), 8)


class TrainingTest(FolderTest):
    def words(self, out, **options):
        made = ["--model_name_or_path", self.place("model"), "--annotations", self.place("dataset_coco.json")]
        made += [
            "--images",
            self.place("coco"),
            "--output_dir",
            self.place(out),
            "--device",
            "cpu",
            "--max_length",
            "10",
        ]
        made += ["--learning_rate", "1e-3", "--weight_decay", "0.05", "--logging_steps", "1", "--save_steps", "2"]
        made += ["--epochs", "2", "--disable_tqdm", "1", "--report_to", "none"]
        for name, value in {"max_steps": 6, "per_device_train_batch_size": 4, **options}.items():
            made += ["--" + name, str(value)]
        return made

    def program(self, words, ranks=1):
        hidden = ("CUDA_VISIBLE_DEVICES", "PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM")
        variables = {key: value for key, value in os.environ.items() if key not in hidden}
        variables["PYTHONPATH"] = os.pathsep.join(sys.path)
        program = [os.path.join(EXAMPLES, "run_finetune_retrieval.py"), *words]
        if ranks > 1:
            program = [
                "-m",
                "paddle.distributed.launch",
                "--nproc_per_node",
                str(ranks),
                "--log_dir",
                self.place("log"),
                *program,
            ]
        done = subprocess.run(
            [sys.executable, *program], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])

    def losses(self, out, step):
        with open(self.place(out, f"checkpoint-{step}", "trainer_state.json"), encoding="utf-8") as stream:
            return {row["step"]: row["loss"] for row in json.load(stream)["log_history"] if "loss" in row}

    def test_training(self):
        """Losses fall; a run that was cut goes on with the same ones; two ranks have those of one with the joined batch."""
        write_set(self.folder, 1, train=12)
        tiny().save_pretrained(self.place("model"))
        write_vocabulary(self.place("model"))
        # processes of their own: in one process, parameters of a second model have other names, which an optimizer's state goes by
        self.program(self.words("whole"))
        whole = self.losses("whole", 6)
        self.assertEqual(sorted(whole), [1, 2, 3, 4, 5, 6])
        self.assertLess(np.mean([whole[5], whole[6]]), whole[1])
        shutil.copytree(self.place("whole", "checkpoint-4"), self.place("cut", "checkpoint-4"))
        shutil.copytree(self.place("whole", "checkpoint-6"), self.place("cut", "checkpoint-6"))
        os.remove(self.place("cut", "checkpoint-6", "optimizer.pdopt"))  # killed in a write
        self.program(self.words("cut"))
        cut = self.losses("cut", 6)
        for step in whole:
            self.assertAlmostEqual(cut[step], whole[step], delta=2e-6, msg=step)
        self.program(self.words("two", per_device_train_batch_size=2, max_steps=2), ranks=2)
        for step, loss in self.losses("two", 2).items():
            self.assertAlmostEqual(loss, whole[step], delta=2e-6, msg=step)

    def test_first_step(self):
        """Adam's first step is as long as the learning rate, which falls from block to block."""
        write_set(self.folder, 1, train=12)
        before = tiny()
        before.save_pretrained(self.place("model"))
        write_vocabulary(self.place("model"))
        _, trainer = run_finetune_retrieval.main(self.words("one", max_steps=1))
        after = trainer.model.state_dict()
        for name, scale in (
            ("visual_encoder.patch_embed.proj.bias", 0.95**3),
            ("visual_encoder.blocks.0.norm1.bias", 0.95**2),
            ("visual_encoder.blocks.1.norm1.bias", 0.95),
            ("Qformer.text_proj.bias", 1.0),
            ("temp", 1.0),
        ):
            step = np.abs(after[name].numpy() - before.state_dict()[name].numpy()).max()
            self.assertAlmostEqual(step / 1e-3, scale, delta=2e-3, msg=name)

    def test_layer_scale(self):
        names = (
            "visual_encoder.pos_embed",
            "visual_encoder.patch_embed.proj.weight",
            "visual_encoder.blocks.0.norm1.bias",
        )
        scales = [
            run_finetune_retrieval.layer_scale(name, 2, 0.5)
            for name in (*names, "visual_encoder.blocks.1.x.weight", "temp")
        ]
        self.assertEqual(scales, [0.125, 0.125, 0.25, 0.5, 1.0])


if __name__ == "__main__":
    unittest.main()
