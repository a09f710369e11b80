"""A model that answers from a recorded run, and refuses what the recorded run did not ask."""

import hashlib

from paddlenlp.experimental.agents.language_models import Completion, LanguageModel


def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Replay(LanguageModel):
    """Answers to a prompt are handed out in the order in which they were recorded.

    `recorded`: (sha256 of the prompt, stop or None, answers) of each call. `calls` holds (sha256, n) of what was asked.
    """

    name = "replay"

    def __init__(self, recorded):
        self.calls = []
        self._left = {}
        for prompt, stop, texts in recorded:
            self._left.setdefault((prompt, stop), []).extend(texts)

    def complete(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        key = (digest(request.prompt), request.stop[0] if request.stop else None)
        self.calls.append((key[0], request.n))
        left = self._left.get(key, [])
        if len(left) < request.n:
            raise AssertionError("%d answers wanted, %d recorded, for ...%r" % (request.n, len(left), request.prompt[-100:]))
        texts, self._left[key] = left[: request.n], left[request.n :]
        return Completion(texts)

    def unused(self):
        return sum(len(texts) for texts in self._left.values())
