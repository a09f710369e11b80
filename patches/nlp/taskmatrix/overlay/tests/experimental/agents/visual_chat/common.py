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

import shutil
import tempfile
import unittest

from paddlenlp.experimental.agents.language_models import ScriptedModel
from paddlenlp.experimental.agents.visual_chat import ModelPool, Policy, Session, VisualChatAgent, all_tools
from PIL import Image


def faked(names=None):
    """Tools that need no models."""
    tools = all_tools(names)
    for tool in tools:
        tool.run = tool.fake
    return tools


class Numbers:
    """UUIDs in turn: 00000000..., 10000000..., so that names can be foretold."""

    def __init__(self):
        self.number = -1

    def __call__(self):
        self.number += 1
        return "{:x}".format(self.number).ljust(32, "0")


class AgentCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def session(self, name="one", **options):
        return Session(self.folder + "/" + name, unique=Numbers(), **options)

    def agent(self, script, format="text", tools=None, **policy):
        self.model = ScriptedModel(script)
        return VisualChatAgent(
            self.model, ModelPool({}, 0), faked() if tools is None else tools, format, Policy(**policy)
        )

    def shown(self, session):
        """A session with one picture, image/00000000.png."""
        session.gallery.add(Image.new("RGB", (64, 48)))
        return session
