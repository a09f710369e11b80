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
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

from paddlenlp.experimental.agents.language_models import (
    PRICES,
    CachedModel,
    Completion,
    EndpointModel,
    LanguageModelError,
    RefusedError,
    Request,
    ScriptedModel,
    Usage,
    endpoint,
    merge_requests,
)

Forked = multiprocessing.get_context("fork").Process


def numbered(request):
    """Answers that tell themselves apart: 0, 1, 2, ... in the order they are given."""
    numbered.count += request.n
    return ["answer {}".format(i) for i in range(numbered.count - request.n, numbered.count)]


class RequestTest(unittest.TestCase):
    def test_stop_may_be_a_text_or_nothing(self):
        self.assertEqual(Request("p", stop="\n").stop, ("\n",))
        self.assertEqual(Request("p", stop=None).stop, ())

    def test_bad_values_are_refused(self):
        for options in ({"n": 0}, {"max_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"stop": ""}):
            with self.subTest(options), self.assertRaises(ValueError):
                Request("p", **options)

    def test_seed_depends_on_everything_but_n(self):
        base = Request("p")
        self.assertEqual(base.seed(0, 1), base.with_n(5).seed(0, 1))
        others = [Request("q"), Request("p", temperature=1.0), Request("p", scope="7"), Request("p", stop="x")]
        seeds = {base.seed(0, 0), base.seed(0, 1), base.seed(1, 0)} | {other.seed(0, 0) for other in others}
        self.assertEqual(len(seeds), 7)


class MergeTest(unittest.TestCase):
    def test_equal_requests_are_sent_once_and_keep_their_answers(self):
        requests = [Request("a", 2), Request("b"), Request("a", 1), Request("a", 1, temperature=0.1)]
        merged = merge_requests(requests)
        self.assertEqual([(r.prompt, r.n) for r in merged.requests], [("a", 3), ("b", 1), ("a", 1)])
        model = ScriptedModel({"a": ["a0", "a1", "a2", "a3"], "b": ["b0"]})
        parts = merged.split(model.complete(merged.requests))
        self.assertEqual([part.texts for part in parts], [["a0", "a1"], ["b0"], ["a2"], ["a3"]])
        self.assertEqual([part.sent for part in parts], [1, 1, 0, 1])
        self.assertEqual([part.prompt_tokens for part in parts], [1, 1, 0, 1])

    def test_shared_requests_have_the_same_answers(self):
        requests = [Request("a", 1, shared=True), Request("a", 3, shared=True), Request("a", 1)]
        merged = merge_requests(requests)
        self.assertEqual([(r.n, r.shared) for r in merged.requests], [(3, True), (1, False)])
        parts = merged.split(ScriptedModel(["0", "1", "2", "3"]).complete(merged.requests))
        self.assertEqual([part.texts for part in parts], [["0"], ["0", "1", "2"], ["3"]])

    def test_a_model_that_answers_too_little_is_told(self):
        merged = merge_requests([Request("a", 2)])
        with self.assertRaisesRegex(LanguageModelError, "1 answers where 2"):
            merged.split(ScriptedModel(["x"]).complete([Request("a")]))


class UsageTest(unittest.TestCase):
    def test_account_and_cost(self):
        usage = Usage()
        for completion in ScriptedModel(["one two", "three"]).complete([Request("a b c"), Request("d")]):
            usage.add(completion)
        self.assertEqual((usage.requests, usage.sent, usage.choices), (2, 2, 2))
        self.assertEqual((usage.prompt_tokens, usage.completion_tokens), (4, 3))
        self.assertAlmostEqual(usage.cost(PRICES["gpt-4"]), (4 * 0.03 + 3 * 0.06) / 1000)
        self.assertIsNone(usage.cost(None))
        self.assertEqual((usage + usage).prompt_tokens, 8)


class CachedModelTest(unittest.TestCase):
    def setUp(self):
        numbered.count = 0
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "cache.sqlite")

    def tearDown(self):
        self.folder.cleanup()

    def test_only_what_is_missing_is_asked_for(self):
        inner = ScriptedModel(numbered)
        model = CachedModel(inner)
        self.assertEqual(model.ask("p", n=2), ["answer 0", "answer 1"])
        self.assertEqual(model.ask("p", n=1), ["answer 0"])
        self.assertEqual(model.ask("p", n=3), ["answer 0", "answer 1", "answer 2"])
        self.assertEqual([call.n for call in inner.calls], [2, 1])

    def test_account_of_a_cached_request(self):
        model = CachedModel(ScriptedModel(numbered))
        model.ask("p", n=2)
        (completion,) = model.complete([Request("p", 3)])
        self.assertEqual((completion.cached, completion.sent), (2, 1))
        (completion,) = model.complete([Request("p", 3)])
        self.assertEqual((completion.cached, completion.sent, completion.prompt_tokens), (3, 0, 0))

    def test_equal_requests_of_a_batch_get_answers_of_their_own(self):
        inner = ScriptedModel(numbered)
        completions = CachedModel(inner).complete([Request("p"), Request("p")])
        self.assertEqual([c.texts for c in completions], [["answer 0"], ["answer 1"]])
        self.assertEqual(len(inner.calls), 1)

    def test_scope_and_settings_keep_answers_apart(self):
        inner = ScriptedModel(numbered)
        model = CachedModel(inner)
        for request in (Request("p"), Request("p", scope="1"), Request("p", temperature=0), Request("p", stop="x")):
            model.complete([request])
        self.assertEqual(len(inner.calls), 4)

    def test_answers_outlive_the_process(self):
        with CachedModel(ScriptedModel(numbered), self.path) as model:
            first = model.ask("p\n", n=2)
        with CachedModel(ScriptedModel([]), self.path) as model:
            self.assertEqual(model.ask("p\n", n=2), first)
        with CachedModel(ScriptedModel([], name="another"), self.path) as model:
            with self.assertRaises(LanguageModelError):
                model.ask("p\n")

    def test_another_file_is_refused(self):
        with open(self.path, "w", encoding="utf-8") as stream:
            stream.write("not ours" * 100)
        with self.assertRaisesRegex(LanguageModelError, "prompt cache .* not a database.* Give another file"):
            CachedModel(ScriptedModel([]), self.path)

    def test_a_refusal_is_not_remembered(self):
        class Refusing(ScriptedModel):
            def complete(self, requests):
                return [Completion([], refused="no")] if len(self.calls) < 1 and not self.calls.append(1) else []

        model = CachedModel(Refusing([]), self.path)
        (completion,) = model.complete([Request("p", 2)])
        self.assertEqual((completion.texts, completion.refused, completion.cached), ([], "no", 0))
        self.assertEqual(len(model), 0)

    def test_what_was_answered_before_a_failure_is_kept(self):
        class Failing(ScriptedModel):
            def complete(self, requests):
                raise LanguageModelError("enough", {1: Completion(["paid"]), 0: Completion(["a part"])})

        with CachedModel(Failing([]), self.path) as model:
            with self.assertRaisesRegex(LanguageModelError, "enough"):
                model.complete([Request("a", 2), Request("b")])
        with CachedModel(ScriptedModel(["new"]), self.path) as model:
            self.assertEqual(model.ask("b"), ["paid"])
            self.assertEqual(model.ask("a", n=2), ["a part", "new"])

    def test_several_processes_write_one_file(self):
        def write(who):
            with CachedModel(ScriptedModel(lambda r: ["x" * 3000] * r.n), self.path) as model:
                for k in range(15):
                    model.complete([Request("{}-{}-{}".format(who, k, j), 3) for j in range(4)] + [Request("same")])

        processes = [Forked(target=write, args=(who,)) for who in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        self.assertEqual([process.exitcode for process in processes], [0] * 4)
        with CachedModel(ScriptedModel([]), self.path) as model:
            self.assertEqual(len(model), 4 * 15 * 4 + 1)
            for who in range(4):
                self.assertEqual(len(model.ask("{}-14-3".format(who), n=3)), 3)

    def test_a_killed_writer_loses_the_batch_it_was_in(self):
        reader, writer = os.pipe()

        def write():
            model = CachedModel(ScriptedModel(numbered), self.path)
            for k in range(100000):
                model.ask("p{}".format(k), n=3)
                os.write(writer, b"%d\n" % k)

        process = Forked(target=write)
        process.start()
        os.close(writer)
        time.sleep(1.0)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with os.fdopen(reader) as stream:
            told = [int(line) for line in stream if line.endswith("\n")]
        self.assertGreater(len(told), 3)
        with CachedModel(ScriptedModel([]), self.path) as model:
            for k in told:
                self.assertEqual(len(model.ask("p{}".format(k), n=3)), 3)
            self.assertEqual(model._execute("PRAGMA integrity_check"), [("ok",)])

    def test_a_full_disk(self):
        inner = ScriptedModel(lambda request: ["x" * 9000] * request.n)
        with CachedModel(inner, self.path) as model:
            model.ask("before")
            (pages,) = model._execute("PRAGMA page_count")[0]
            model._execute("PRAGMA max_page_count = {}".format(pages + 1))  # SQLite says then that the disk is full
            with self.assertRaisesRegex(LanguageModelError, "disk is full.*free space"):
                model.ask("paid")
            self.assertEqual(model.ask("before"), ["x" * 9000])
            model._execute("PRAGMA max_page_count = 1000")
            self.assertEqual(model.ask("paid"), ["x" * 9000])
            self.assertEqual(len(inner.calls), 2)
        with CachedModel(ScriptedModel([]), self.path) as model:
            self.assertEqual(model.ask("paid"), ["x" * 9000])

    def test_halves_of_a_surrogate_pair(self):
        with CachedModel(ScriptedModel(["a \ud83d", "\ud83d\ude00"]), self.path) as model:
            self.assertEqual(model.ask("\ud83d", n=2), ["a \ufffd", "\U0001f600"])


class ScriptedModelTest(unittest.TestCase):
    def test_a_script_that_ends_says_where(self):
        model = ScriptedModel({"p": ["x"]})
        model.ask("p")
        with self.assertRaisesRegex(LanguageModelError, "0 of the 1 answers .*'p'"):
            model.ask("p")


class _Server(BaseHTTPRequestHandler):
    """A small endpoint; `plan` is a list of (status, headers, body or function of the request body)."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, body, self.headers.get("Authorization")))
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
            status, headers, reply = self.server.plan.pop(0) if self.server.plan else (200, {}, self.server.reply)
        time.sleep(self.server.delay)
        reply = reply(body) if callable(reply) else reply
        data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
        with self.server.lock:
            self.server.running -= 1
        if status == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        cut = int(headers.get("X-Cut", 0))  # bytes that are promised and do not come
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - cut])
        self.close_connection = bool(cut)

    def log_message(self, *args):
        pass


def chat_reply(body, given=None):
    """One choice for each that is asked for (or `given`), which repeats the prompt."""
    text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    n = body["n"] if given is None else given
    choices = [{"message": {"role": "assistant", "content": text + str(i)}, "text": text + str(i)} for i in range(n)]
    return {"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 2 * n}}


class EndpointModelTest(unittest.TestCase):
    def setUp(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
        self.server.plan, self.server.seen, self.server.reply = [], [], chat_reply
        self.server.lock, self.server.running, self.server.most, self.server.delay = threading.Lock(), 0, 0, 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:{}/v1".format(self.server.server_address[1])
        self.models = []

    def tearDown(self):
        for model in self.models:
            model.close()
        self.server.shutdown()
        self.server.server_close()

    def model(self, **options):
        options = {"api_key": "secret", "pause": 0.01, "timeout": 10, **options}
        self.models.append(EndpointModel("m", self.url, **options))
        return self.models[-1]

    def test_chat(self):
        (completion,) = self.model(system="be brief").complete([Request("hi", 2, "\n", max_tokens=9, top_p=0.5)])
        self.assertEqual(completion.texts, ["hi0", "hi1"])
        self.assertEqual((completion.prompt_tokens, completion.completion_tokens), (7, 4))
        ((path, body, key),) = self.server.seen
        self.assertEqual((path, key), ("/v1/chat/completions", "Bearer secret"))
        self.assertEqual([turn["role"] for turn in body["messages"]], ["system", "user"])
        self.assertEqual((body["n"], body["stop"], body["max_tokens"], body["top_p"]), (2, ["\n"], 9, 0.5))

    def test_completions(self):
        self.assertEqual(self.model(api="completions", api_key="").ask("hi"), ["hi0"])
        ((path, body, key),) = self.server.seen
        self.assertEqual((path, body["prompt"], key), ("/v1/completions", "hi", None))

    def test_busy_answers_are_tried_again(self):
        self.server.plan = [(429, {"Retry-After": "0"}, "slow down"), (503, {}, "busy"), (200, {}, "no json")]
        self.assertEqual(self.model().ask("hi"), ["hi0"])
        self.assertEqual(len(self.server.seen), 4)

    def test_the_pause_the_server_asks_for_is_kept(self):
        self.server.plan = [(429, {"Retry-After": "0.4"}, "slow down")]
        start = time.perf_counter()
        self.model().ask("hi")
        self.assertGreaterEqual(time.perf_counter() - start, 0.4)

    def test_no_pause_is_longer_than_the_bound(self):
        for asked in ("86400", "inf", "nan", "-3", "soon", "Wed, 21 Oct 2099 07:28:00 GMT", "1e400"):
            with self.subTest(asked), mock.patch.object(endpoint, "LONGEST_PAUSE", 0.2):
                self.server.plan = [(429, {"Retry-After": asked}, "slow down")]
                start = time.perf_counter()
                self.assertEqual(self.model().ask("hi"), ["hi0"])
                self.assertLess(time.perf_counter() - start, 2)

    def test_what_is_tried_again_and_what_is_counted(self):
        for trouble in (
            (520, {}, "a proxy"),
            (200, {"X-Cut": "20"}, chat_reply),
            (200, {"Content-Encoding": "gzip"}, "no gzip"),
            ("reset", {}, ""),
            (200, {}, {"error": {"code": 429, "message": "rate"}}),
            (200, {}, {"error": "overloaded"}),
            (200, {}, {"choices": []}),
            (200, {}, "<html>gateway</html>"),
        ):
            with self.subTest(trouble):
                self.server.plan = [trouble]
                (completion,) = self.model().complete([Request("hi")])
                self.assertEqual((completion.texts, completion.sent), (["hi0"], 2))

    def test_a_refused_request_leaves_the_others(self):
        filtered = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
        for refusal in (
            (400, {}, "too long"),
            (422, {}, "no"),
            (200, {}, {"error": {"code": 400}}),
            (200, {}, filtered),
        ):
            with self.subTest(refusal):
                self.server.plan = [refusal]
                model = self.model(concurrency=1)
                first, second = model.complete([Request("a", 3), Request("b")])
                self.assertEqual((first.texts, first.sent, second.texts), ([], 1, ["b0"]))
                self.assertRegex(first.refused, "refused the request")
                self.server.plan = [refusal]
                with self.assertRaisesRegex(RefusedError, "refused the request"):
                    model.ask("a")

    def test_what_was_answered_before_a_failure_is_told(self):
        self.server.plan = [(200, {}, chat_reply), (200, {}, chat_reply), (401, {}, "expired")]
        with self.assertRaises(LanguageModelError) as caught:
            self.model(concurrency=1, choices_per_call=1).complete([Request("a"), Request("b", 2), Request("c")])
        answered = caught.exception.answered
        self.assertEqual([answered[i].texts for i in (0, 1)], [["a0"], ["b0"]])

    def test_a_body_that_never_ends(self):
        self.server.reply = lambda body: time.sleep(1) or chat_reply(body)
        with self.assertRaisesRegex(LanguageModelError, "did not answer after 2 tries"):
            self.model(timeout=0.3, attempts=2).ask("hi")

    def test_odd_replies(self):
        for reply, texts, tokens in (
            ({"choices": [{"message": {"content": None}}], "usage": {"prompt_tokens": "n/a"}}, [""], 0),
            ({"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}], "usage": "none"}, ["x"], 0),
            (
                '{"choices": [{"message": {"content": "cut \\ud83d"}}], "usage": {"prompt_tokens": 3.0}}',
                ["cut \ufffd"],
                3,
            ),
        ):
            with self.subTest(reply):
                self.server.plan = [(200, {}, reply)]
                (completion,) = self.model().complete([Request("hi")])
                self.assertEqual((completion.texts, completion.prompt_tokens), (texts, tokens))

    def test_giving_up_says_why(self):
        self.server.plan = [(500, {}, "broken")] * 3
        with self.assertRaisesRegex(LanguageModelError, "after 3 tries .*500: broken"):
            self.model(attempts=3).ask("hi")

    def test_a_wrong_key_is_final_and_not_shown(self):
        self.server.plan = [(401, {}, "who are you")]
        with self.assertRaisesRegex(LanguageModelError, "OPENAI_API_KEY") as caught:
            self.model().ask("hi")
        self.assertNotIn("secret", str(caught.exception))
        self.assertEqual(len(self.server.seen), 1)

    def test_nobody_there(self):
        model = EndpointModel("m", "http://127.0.0.1:9/v1", attempts=2, pause=0.01)
        self.models.append(model)
        with self.assertRaisesRegex(LanguageModelError, "did not answer after 2 tries"):
            model.ask("hi")

    def test_a_server_that_ignores_n(self):
        self.server.reply = lambda body: chat_reply(body, given=1)
        (completion,) = self.model().complete([Request("hi", 3)])
        self.assertEqual(completion.texts, ["hi0"] * 3)
        self.assertEqual((completion.prompt_tokens, completion.sent), (21, 3))

    def test_large_n_is_split(self):
        self.assertEqual(len(self.model(choices_per_call=20).ask("hi", n=45)), 45)
        self.assertEqual([body["n"] for _, body, _ in self.server.seen], [20, 20, 5])

    def test_another_protocol(self):
        for reply in ({"generated_text": "hi"}, [1, 2], {"choices": [{"message": {"content": 3}}]}, "3"):
            self.server.reply = reply
            with self.subTest(reply), self.assertRaisesRegex(LanguageModelError, "does not speak"):
                self.model().ask("hi")
        with self.assertRaisesRegex(ValueError, "must begin with http"):
            EndpointModel("m", "127.0.0.1:9/v1")

    def test_a_batch_is_concurrent_and_in_order(self):
        self.server.delay = 0.2
        completions = self.model(concurrency=4).complete([Request("p{}-".format(i)) for i in range(8)])
        self.assertEqual([c.texts[0] for c in completions], ["p{}-0".format(i) for i in range(8)])
        self.assertEqual(self.server.most, 4)

    def test_name_tells_endpoints_apart_and_hides_passwords(self):
        model = EndpointModel("m", "http://user:pass@example.org/v1/")
        self.models.append(model)
        self.assertEqual(model.name, "m@http://example.org/v1/chat/completions")


if __name__ == "__main__":
    unittest.main()
