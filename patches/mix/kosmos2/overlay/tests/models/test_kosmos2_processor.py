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
import json
import os
import sys
import tempfile
import unittest

import numpy as np
from paddlemix.processors.kosmos2_grounding import box_to_cells, cells_to_box, extract_entities, insert_boxes
from paddlemix.processors.kosmos2_processing import Kosmos2ImageProcessor, Kosmos2Processor, Kosmos2Tokenizer
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kosmos2_testing as tiny  # noqa: E402


class GroundingTest(unittest.TestCase):
    def test_there_and_back(self):
        """Every box comes back within half a cell, or as its own cell; bounds of the grid."""
        draw = np.random.default_rng(0)
        for _ in range(300):
            (x1, x2), (y1, y2) = np.sort(draw.uniform(0, 1, [2, 2]), axis=1).tolist()
            first, last = box_to_cells((x1, y1, x2, y2))
            self.assertTrue(0 <= first <= last < 1024)
            gap = np.abs(np.array(cells_to_box(first, last)) - [x1, y1, x2, y2]).max()
            self.assertLessEqual(gap, 1 / 32 + 1e-9)
        self.assertEqual(box_to_cells((0, 0, 1, 1)), (0, 1023))
        self.assertEqual(box_to_cells([0.99, 0.99, 1.0, 1.0]), (1023, 1023))

    def test_refused_boxes(self):
        for box, words in (
            ((0.1, 0.2, 0.3), "not \\(0.1, 0.2, 0.3\\)"),
            ("0.1,0.2", "not '0.1,0.2'"),
            ((0.1, 0.2, 0.1, 0.3), "empty or reversed"),
            ((0.5, 0.2, 0.1, 0.3), "empty or reversed"),
            ((-0.1, 0.2, 0.5, 0.3), "outside of 0..1"),
            ((10, 20, 50, 60), "outside of 0..1"),
            ((float("nan"), 0.2, 0.5, 0.3), "outside of 0..1"),
            ((3, 1024), "from 0 to 1023"),
            ((0.5, 0.7), "whole numbers"),
            ((True, 5), "not \\(True, 5\\)"),
            (None, "not None"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                box_to_cells(box)

    def test_refused_texts(self):
        text = "<phrase>a</phrase> and <phrase>b</phrase>"
        for text, boxes, words in (
            (text, [(0, 1)], "for 1 phrases, and the text has 2"),
            ("<phrase></phrase>", [(0, 1)], "the text has 0"),
            (text, "all", "not 'all'"),
            (text, (0.1, 0.2, 0.3, 0.4), "for each phrase"),
            (text, [[(0, 1), None], (0, 1)], "not None"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                insert_boxes(text, boxes)
        self.assertEqual(insert_boxes(text, [[], (0, 1)]).count("<object>"), 1)

    def test_spans(self):
        """The span of an entity is where its phrase stands in the clean text."""
        text = "  <grounding> in \u96ea<phrase> a  man </phrase><object><patch_index_0001><patch_index_0040></object>,<phrase>x</phrase>"
        clean, entities = extract_entities(text + "<object><patch_index_9><patch_index_99></object>")
        self.assertEqual([name for name, _, _ in entities], ["a  man", "x"])
        for name, (start, end), _ in entities:
            self.assertEqual(clean[start:end], name)


class TokenizerTest(unittest.TestCase):
    def test_published_files(self):
        with tempfile.TemporaryDirectory() as folder:
            made = tiny.processor(os.path.join(folder, "files"))
            tiny.write_published(folder, made, tiny.config())
            again = Kosmos2Processor.from_pretrained(folder, num_image_tokens=4)
            self.assertEqual(again.tokenizer.ids, made.tokenizer.ids)
            self.assertEqual(again.image_processor.size, tiny.SIZE)
            path = os.path.join(folder, "added_tokens.json")
            with open(path, encoding="utf-8") as stream:
                tokens = json.load(stream)
            for change, words in (
                ({**tokens, "<phrase>": 7}, "<phrase>"),
                ({**tokens, "<other>": 500}, "<other>"),
                ({name: number for name, number in tokens.items() if name != "<grounding>"}, "<grounding>"),
            ):
                with open(path, "w", encoding="utf-8") as stream:
                    json.dump(change, stream)
                with self.assertRaisesRegex(ValueError, f"added_tokens.json does not fit.*{words}"):
                    Kosmos2Tokenizer.from_pretrained(folder)
            with self.assertRaisesRegex(FileNotFoundError, "sentencepiece.bpe.model.*beside the weights"):
                Kosmos2Tokenizer.from_pretrained(os.path.join(folder, "files", "nothing"))

    def test_text_and_back(self):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = tiny.processor(folder).tokenizer
            text = "<grounding> a red circle<phrase> left of</phrase><object><patch_index_0001><patch_index_0063></object> two."
            self.assertEqual(tokenizer.decode(tokenizer.encode(text)), text)
            self.assertEqual(tokenizer.encode("  \n "), [])
            self.assertEqual(tokenizer.convert_tokens_to_ids("\u96ea"), tokenizer.unk_token_id)
            self.assertEqual(tokenizer.decode(tokenizer.encode("<s> a red</s><pad>")), "a red")
            for text in ("<patch_index_0064>", "<patch_index_1>", "a<patch_index_00001>"):
                with self.assertRaisesRegex(ValueError, "no location token <patch_index.*to <patch_index_0063>"):
                    tokenizer.encode(text)
            with self.assertRaisesRegex(ValueError, "no token 5000"):
                tokenizer.decode([4, 5000])
            with self.assertRaisesRegex(ValueError, "no square"):
                Kosmos2Tokenizer(tokenizer.vocab_file, 50)


class ImageTest(unittest.TestCase):
    def test_kinds(self):
        """Pictures that show the same give the same, whatever they are given as; transparency keeps its colour."""
        images, colour = Kosmos2ImageProcessor(28), tiny.picture()
        want = images(colour)
        self.assertEqual((want.shape, want.dtype), ((1, 3, 28, 28), np.float32))
        alpha = colour.convert("RGBA")
        alpha.putalpha(17)
        array = np.asarray(colour)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.png")
            colour.save(path)
            turned = os.path.join(folder, "b.png")
            exif = Image.Exif()
            exif[274] = 3  # upside down
            colour.rotate(180).save(turned, exif=exif)
            for given in (
                array,
                array.transpose(2, 0, 1),
                array.astype("uint16") * 257,
                alpha,
                path,
                turned,
                [colour],
            ):
                np.testing.assert_array_equal(images(given), want)
        self.assertEqual(images([Image.new("L", (1, 1)), Image.new("CMYK", (1, 90))]).shape, (2, 3, 28, 28))

    def test_refusals(self):
        images = Kosmos2ImageProcessor(28)
        for given, error, words in (
            ([], ValueError, "the list is empty"),
            (None, TypeError, "not NoneType"),
            (np.zeros([4, 4, 3], "float32"), TypeError, "has to be uint8"),
            (np.zeros([5, 5, 2], "uint8"), ValueError, "1, 3 or 4 channels"),
            ("nowhere.png", ValueError, "not a valid path"),
        ):
            with self.assertRaisesRegex(error, words):
                images(given)
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(FileNotFoundError, "preprocessor_config.json"):
                Kosmos2ImageProcessor.from_pretrained(folder)
            for options, words in (
                ({"size": {"shortest_edge": 224}}, "only squares"),
                ({"size": {"height": 224, "width": 200}}, "only squares"),
                ({"size": 224, "resample": 2}, "resample 2"),
                ({"size": 224, "do_normalize": False}, "do_normalize"),
            ):
                with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8-sig") as stream:
                    json.dump(options, stream)
                with self.assertRaisesRegex(ValueError, words):
                    Kosmos2ImageProcessor.from_pretrained(folder)


class ProcessorTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.made = tiny.processor(self.folder.name)

    def test_places(self):
        images = [tiny.picture(), tiny.picture(1)]
        for side in ("left", "right"):
            given = self.made(images, ["a red circle", "a"], padding_side=side, return_tensors="np")
            tokens = self.made.tokenizer.ids
            for ids, mask, place in zip(
                *(given[key] for key in ("input_ids", "attention_mask", "image_embeds_position_mask"))
            ):
                real = ids[mask == 1]
                self.assertEqual(real[:2].tolist(), [0, tokens["<image>"]])
                self.assertEqual(real[2 : 2 + tiny.QUERIES].tolist(), list(range(4, 4 + tiny.QUERIES)))
                self.assertEqual(ids[place == 1].tolist(), list(range(4, 4 + tiny.QUERIES)))
                self.assertTrue((ids[mask == 0] == 1).all())
            self.assertEqual(given["attention_mask"][1, 0], int(side == "right"))
        alone = self.made(text="a red circle", return_tensors="np")
        self.assertEqual(sorted(alone), ["attention_mask", "input_ids"])

    def test_answers(self):
        """What is learned is the answer with its end, and nothing else."""
        given = self.made(tiny.picture(), "<phrase>a red circle</phrase>", answers="<object> two", return_tensors="np")
        learned = given["labels"][0][given["labels"][0] != -100].tolist()
        self.assertEqual(learned, [*self.made.tokenizer.encode("<object> two"), 2])
        self.assertEqual(given["input_ids"][0, -len(learned) :].tolist(), learned)

    def test_decoding(self):
        given = self.made(tiny.picture(), "<grounding> a red", return_tensors="np")
        new = np.array(
            [
                self.made.tokenizer.encode(
                    "<phrase> circle</phrase><object><patch_index_0001><patch_index_0040></object>"
                )
            ]
        )
        text = self.made.batch_decode(new, given["input_ids"])[0]
        self.assertEqual(
            self.made.post_process_generation(text), ("a red circle", [("circle", (6, 12), [cells_to_box(1, 40, 8)])])
        )

    def test_refusals(self):
        image = tiny.picture()
        for arguments, words in (
            ({"images": image}, "there is no text"),
            ({"text": []}, "the list is empty"),
            ({"images": [image, image], "text": "a"}, "1 texts, and images for 2; each text takes one image"),
            ({"images": image, "text": ["a", "a"]}, "2 texts, and images for 1"),
            ({"text": ["a", "a"], "bboxes": [None]}, "bboxes for 1"),
            ({"text": ["a", "a"], "answers": "a"}, "answers for 1"),
            ({"text": ["a", 3]}, "not int"),
            ({"images": image, "text": "<image> a"}, "holds <image>"),
            ({"text": "<phrase></phrase>", "bboxes": [(0, 1)]}, "the text has 0"),
            ({"text": "a<patch_index_0064>"}, "no location token"),
            ({"text": "a " * 70}, "longer than the 64 positions"),
            ({"text": "a", "padding_side": "top"}, "'left' and 'right'"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                self.made(**arguments)


if __name__ == "__main__":
    unittest.main()
