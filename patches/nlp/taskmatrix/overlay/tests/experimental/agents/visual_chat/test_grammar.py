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

import random

import numpy as np
from paddlenlp.experimental.agents.visual_chat import Answer, JsonFormat, TextFormat
from paddlenlp.experimental.agents.visual_chat.grammar import NEVER, Free, Grammar, TokenTable, call_grammar

from .common import AgentCase, faked

TOKENS = (
    [b""]
    + [bytes([n]) for n in range(256)]
    + [b" Yes", b"\nAction", b"Input: ", b'{"', b"image/", "猫".encode(), b"ab, cd"]
)


class GrammarTest(AgentCase):
    def setUp(self):
        super().setUp()
        self.gallery = self.shown(self.session()).gallery
        self.tools = faked()

    def grammar(self, format, names=("image/00000000.png",)):
        return call_grammar(format, self.tools, names)

    def test_what_the_grammar_takes(self):
        text, spoken = self.grammar(TextFormat()), "image/00000000.png"
        for said, takes in (
            (" Yes\nAction: detect_edges\nAction Input: " + spoken + "\n", True),
            (" Yes\nAction: detect_object\nAction Input: " + spoken + ", 猫 and dog, too\n", True),
            (" No\nAI: 好的。\n", True),
            (" Yes\nAction: detect_edges\nAction Input: image/11111111.png\n", False),
            (" Yes\nAction: detect_edge\nAction Input: ", False),
            (" Yes\nAction: detect_object\nAction Input: " + spoken + ", \n", False),
            (" Yes\nAction: extend_picture\nAction Input: " + spoken + ", 1024x576\n", True),
            (" Yes\nAction: extend_picture\nAction Input: " + spoken + ", 9999x576\n", False),
        ):
            self.assertEqual(text.complete(text.run(said.encode())), takes, said)
        json_format = self.grammar(JsonFormat())
        call = '{"tool": "replace_object", "arguments": {"picture": "image/00000000.png", "object": "cat", "replacement": "dog"}}'
        self.assertTrue(json_format.complete(json_format.run(call.encode())))
        self.assertFalse(json_format.run(call.replace("cat", '"').encode()))

    def test_without_pictures_only_tools_that_need_none(self):
        grammar = self.grammar(TextFormat(), ())
        self.assertFalse(grammar.run(b" Yes\nAction: d"))
        self.assertTrue(grammar.run(b" Yes\nAction: generate_picture\nAction Input: x"))

    def test_only_well_formed_utf8(self):
        grammar = Grammar([Free(frozenset()), b"\n"])
        for good in ("a\u00e9", "a\u0939", "猫", "a\U0001f600"):
            self.assertTrue(grammar.complete(grammar.run(good.encode() + b"\n")), good)
        for wrong in (
            b"a\xc0\x80",
            b"a\xed\xa0\x80",
            b"a\xe0\x80\x80",
            b"a\xf5\x80\x80\x80",
            b"a\x80",
            b"a\xe7\n",
            b" a",
            b"\n",
            b"a\x07",
        ):
            self.assertFalse(grammar.complete(grammar.run(wrong + b"\n")), wrong)

    def test_any_choice_of_tokens_becomes_a_valid_call_within_the_room(self):
        """Tokens drawn by chance, as an untrained model would, in every room that holds the shortest sentence."""
        table, chance = TokenTable(TOKENS), random.Random(0)
        for format in (TextFormat(), JsonFormat()):
            grammar = self.grammar(format)
            least = len(grammar.shortest(grammar.start))
            for trial in range(30):
                state, said, room = grammar.start, b"", least + trial * 4
                while not grammar.complete(state):
                    needs = table.needs(grammar, state)
                    room -= 1
                    allowed = np.flatnonzero(needs <= room)
                    self.assertTrue(len(allowed))
                    token = TOKENS[chance.choice(allowed)]
                    state, said = grammar.run(token, state), said + token
                self.assertGreaterEqual(room, 0)
                parsed = format.parse(said.decode("utf-8"))
                if isinstance(parsed, Answer):
                    continue
                tool = format.find(self.tools, parsed.tool)
                given = tool.split(parsed.raw) if parsed.arguments is None else parsed.arguments
                tool.read(given, self.gallery)

    def test_tokens_that_run_over_the_end_may_not_come(self):
        grammar = Grammar([b"ab"])
        needs = TokenTable([b"a", b"ab", b"abc", b"b", b""]).needs(grammar, grammar.start)
        self.assertEqual(needs.tolist(), [1, 0, NEVER, NEVER, NEVER])
