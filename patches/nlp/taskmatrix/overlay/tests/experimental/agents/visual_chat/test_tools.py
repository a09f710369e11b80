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

import threading
import time

import numpy as np
from paddlenlp.experimental.agents.visual_chat import (
    Argument,
    ArgumentError,
    Context,
    Loader,
    ModelPool,
    PoolError,
    Tool,
    ToolError,
    all_tools,
    register,
)
from paddlenlp.experimental.agents.visual_chat.tools import PICTURE, base, edit, find
from PIL import Image, ImageOps

from .common import AgentCase, faked


class ToolsTest(AgentCase):
    def setUp(self):
        super().setUp()
        self.gallery = self.shown(self.session()).gallery
        self.name = self.gallery.names()[0]

    def context(self, **models):
        return Context(self.gallery, ModelPool({n: Loader(lambda d, m=m: m, 1) for n, m in models.items()}, 99))

    def tool(self, name):
        return all_tools([name])[0]

    def test_every_tool_has_a_fake_that_gives_what_it_promises(self):
        values = {"picture": self.name, "text": "a dog", "size": "32x32"}
        tools = faked()
        self.assertGreaterEqual(len(tools), 30)
        for tool in tools:
            given = {name: values[argument.kind] for name, argument in tool.arguments.items()}
            result = tool.run(self.context(), **tool.read(given, self.gallery))
            self.assertIsInstance(result, Image.Image if tool.lineage else str, tool.name)
            self.assertEqual(
                tool.read(tool.split(", ".join(given.values())), self.gallery), tool.read(given, self.gallery)
            )

    def test_only_tools_of_which_the_models_are_there_are_offered(self):
        names = [tool.name for tool in all_tools(pool=ModelPool({"caption": Loader(lambda d: None, 1)}, 1))]
        self.assertEqual(set(names), {"describe_picture", "detect_edges", "crop_center"})

    def test_arguments(self):
        tool = self.tool("replace_object")
        good = {"picture": self.name, "object": " a\u0000 red  car ", "replacement": "dog"}
        self.assertEqual(tool.read(good, self.gallery)["object"], "a red car")
        for change, told in (
            ({"picture": "image/11111111.png"}, "there is no picture"),
            ({"picture": ["x"]}, "must be a text"),
            ({"object": " "}, "is missing"),
            ({"object": "x" * 1001}, "1001 characters"),
            ({"mask": "y"}, "no argument mask"),
        ):
            with self.assertRaisesRegex(ArgumentError, told):
                tool.read({**good, **change}, self.gallery)
        with self.assertRaisesRegex(ArgumentError, "replacement is missing"):
            tool.read({"picture": self.name, "object": "x"}, self.gallery)
        size = self.tool("extend_picture").arguments["size"]
        self.assertEqual([size.read(t, self.gallery) for t in ("64x48", "64 × 48", '"64*48"')], [(64, 48)] * 3)
        for wrong in ("64", "0x48", "5000x48", "99999999999x1", "a x b", "-64x48"):
            with self.assertRaises(ArgumentError):
                size.read(wrong, self.gallery)

    def test_registry_refuses_what_would_break(self):
        def made(**facts):
            facts = {
                "name": "some_tool",
                "description": "x",
                "description_zh": "x",
                "run": lambda self, context: "",
                **facts,
            }
            return type("Some", (Tool,), facts)

        for facts in ({"name": "Some Tool"}, {"description_zh": ""}, {"name": "upscale"}, {"lineage": "a_b"}):
            with self.assertRaises(ValueError):
                register(made(**facts))
        with self.assertRaisesRegex(ValueError, "no tool nothing"):
            all_tools(["nothing"])

    def test_a_new_tool_is_one_class(self):
        @register
        class Mirror(Tool):
            name = "mirror"
            description = "Mirror a picture."
            description_zh = "水平翻转图片。"
            arguments = {"picture": Argument(PICTURE)}
            lineage = "mirror"

            def run(self, context, picture):
                return ImageOps.mirror(context.gallery.open(picture))

        self.addCleanup(base._REGISTRY.pop, "mirror")
        tools = all_tools(["mirror"])
        call = "Action: mirror\nAction Input: " + self.name
        session = self.shown(self.session("other"))
        turn = self.agent([call, "AI: done"], tools=tools).run(session, "mirror it")
        self.assertEqual(turn.steps[0].picture, "image/1000_mirror_00000000_00000000.png")
        self.assertIn("mirror (picture): Mirror a picture.", self.model.calls[0].prompt)

    def test_removing_paints_only_around_the_thing(self):
        mask = np.zeros((48, 64), bool)
        mask[10:20, 5:15] = True
        pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype("uint8")
        self.gallery._write(Image.fromarray(pixels), self.gallery.path(self.name))
        asked = []

        def inpaint(image, mask, prompt, seed):
            asked.append((image.size, mask.size, prompt))
            return Image.new("RGB", image.size, (1, 2, 3))

        context = self.context(
            grounding=lambda image, thing: [(5, 10, 15, 20)], segmenting=lambda image, boxes: [mask], inpaint=inpaint
        )
        done = np.asarray(self.tool("replace_object").run(context, picture=self.name, object="cat", replacement="dog"))
        self.assertEqual(asked, [((512, 512), (512, 512), "dog")])
        grown = edit.widened(mask)
        self.assertTrue((done[grown] == (1, 2, 3)).all())
        self.assertTrue((done[~grown] == pixels[~grown]).all())
        self.assertEqual(int(grown.sum()), 40 * 35)

    def test_a_thing_that_is_not_there(self):
        context = self.context(grounding=lambda image, thing: [], segmenting=lambda image, boxes: [])
        with self.assertRaisesRegex(ToolError, "no unicorn"):
            self.tool("segment_object").run(context, picture=self.name, object="unicorn")
        with self.assertRaisesRegex(ToolError, "no segment"):
            self.tool("segment_all").run(context, picture=self.name)

    def test_crop_stays_within_the_picture(self):
        context = self.context(grounding=lambda image, thing: [(-5, -5, 10.2, 1000)])
        self.assertEqual(self.tool("crop_object").run(context, picture=self.name, object="x").size, (11, 48))
        with self.assertRaises(ToolError):
            find_outside = self.context(grounding=lambda image, thing: [(100, 100, 120, 120)])
            self.tool("crop_object").run(find_outside, picture=self.name, object="x")

    def test_extending_keeps_the_middle(self):
        sizes = []

        def inpaint(image, mask, prompt, seed):
            sizes.append(image.size)
            return Image.new("RGB", image.size, (9, 9, 9))

        context = self.context(caption=lambda image: "a wall", inpaint=inpaint)
        gallery = self.gallery
        name = gallery.add(Image.new("RGB", (512, 384), (200, 0, 0)))
        done = self.tool("extend_picture").run(context, picture=name, size=(1024, 576))
        self.assertEqual(done.size, (1024, 576))
        self.assertEqual(done.getpixel((512, 288)), (200, 0, 0))
        self.assertEqual(done.getpixel((5, 5)), (9, 9, 9))
        self.assertEqual(sizes, [edit.working_size((1024, 576))])
        with self.assertRaisesRegex(ToolError, "smaller"):
            self.tool("extend_picture").run(context, picture=name, size=(256, 256))

    def test_removing_the_background_makes_it_transparent(self):
        mask = np.zeros((48, 64), bool)
        mask[0, 0] = True
        context = self.context(
            vqa=lambda image, question: "dog", grounding=lambda i, t: [(0, 0, 1, 1)], segmenting=lambda i, b: [mask]
        )
        done = self.tool("remove_background").run(context, picture=self.name)
        self.assertEqual((done.getpixel((0, 0))[3], done.getpixel((1, 1))[3]), (255, 0))

    def test_colours_of_segments_show_the_small_ones(self):
        large, small = np.ones((4, 4), bool), np.zeros((4, 4), bool)
        small[1, 1] = True
        pixels = find.coloured([small, large], (4, 4))
        self.assertNotEqual(pixels[1, 1].tolist(), pixels[0, 0].tolist())


class PoolTest(AgentCase):
    def pool(self, budget=100, **memory):
        return ModelPool({n: Loader(lambda d, n=n: [n], mb) for n, mb in memory.items()}, budget, patience_s=0.2)

    def test_models_are_loaded_when_needed_and_the_oldest_leave(self):
        pool = self.pool(a=40, b=40, c=40)
        for name in ("a", "b", "a", "c", "a", "b"):
            with pool.use(name) as model:
                self.assertEqual(model, [name])
            self.assertLessEqual(pool.memory_mb(), 100)
        self.assertEqual(pool.loads, ["a", "b", "c", "b"])
        self.assertEqual(pool.loaded(), ["a", "b"])

    def test_a_model_in_use_never_leaves(self):
        pool = self.pool(a=60, b=60)
        with pool.use("a"):
            with self.assertRaisesRegex(PoolError, "in use"):
                pool.use("b").__enter__()
            self.assertEqual(pool.loaded(), ["a"])
        with pool.use("b"):
            self.assertEqual(pool.loaded(), ["b"])

    def test_what_cannot_be_had_is_said(self):
        pool = ModelPool({"large": Loader(lambda d: 1, 200), "broken": Loader(lambda d: 1 / 0, 10)}, 100)
        for name, told in (
            ("none", "no model 'none'"),
            ("large", "200 MB, the budget"),
            ("broken", "division by zero"),
        ):
            with self.assertRaisesRegex(PoolError, told):
                pool.use(name).__enter__()
        self.assertEqual(pool.memory_mb(), 0)

    def test_one_thread_at_a_time_and_one_load(self):
        pool, inside, most = self.pool(a=10), [], []

        def work():
            with pool.use("a"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.01)
                inside.pop()

        threads = [threading.Thread(target=work) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual((max(most), len(most), pool.loads), (1, 8, ["a"]))
