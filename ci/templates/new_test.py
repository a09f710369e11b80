# {{ suite.copyright }}
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

import importlib
import os
import unittest


class SuiteImportTest(unittest.TestCase):
{% if suite.formatter.check and suite.formatter.check[0][0] == "yapf" %}

{% endif %}
    def test_package_imports(self):
        package = importlib.import_module("{{ suite.package }}")
        self.assertTrue(all(os.path.isdir(p) for p in package.__path__))


if __name__ == "__main__":
    unittest.main()
