#!/usr/bin/env python3
"""A deterministic judge behind an OpenAI-compatible API, for evaluations whose right answers are known.

    JUDGE_API_KEY=... python3 judge.py [--port 0] [--host 127.0.0.1]

Prints its endpoint, http://HOST:PORT/v1, as the first line of stdout. Needs Python 3.11 and nothing else.

It understands the judge prompts of instructlab-eval that carry a reference answer, compares the assistant's answer
with it word by word, and rates 1 to 10 as "[[n]]". A prompt without a reference gets a reply without a rating, which
the evaluator counts as an error: this judge does not guess.
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import json
import os
import re
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "miniature-judge"
_LARGEST_BODY = 4 * 1024 * 1024

# Words that say nothing about whether an answer is right. Without this list, nonsense of the right grammatical form
# ("The ... of ... is ...") is rated 5.
STOP_WORDS = frozenset(
    "a an and are as at be by called do does for from how in is it its of on or tell me that the there this to was "
    "were what which who whose will with word you your name".split()
)


@dataclass(frozen=True)
class Case:
    """What there is to judge: the question, the right answer, and the assistant's."""

    question: str
    reference: str
    answer: str


def _between(text: str, start: str, end: str) -> str | None:
    """What stands between two markers; the last `end` counts, for an answer may contain anything."""
    _, found, rest = text.partition(start)
    if not found or end not in rest:
        return None
    return rest.rpartition(end)[0].strip()


def read_case(prompt: str) -> Case | None:
    """Find question, reference and answer in a judge prompt; None if it has no reference answer."""
    return _single_turn(prompt) or _second_turn(prompt)


def _single_turn(prompt: str) -> Case | None:
    marker = "[The Start of Reference Answer]"
    if marker not in prompt:
        return None
    # The first marker is the prompt's own; a later one could be part of the answer.
    head, _, rest = prompt.partition(marker)
    question = head.rpartition("[Question]")[2].strip()
    reference, _, rest = rest.partition("[The End of Reference Answer]")
    answer = _between(rest, "[The Start of Assistant's Answer]", "[The End of Assistant's Answer]")
    return None if answer is None else Case(question, reference.strip(), answer)


def _second_turn(prompt: str) -> Case | None:
    references, found, rest = prompt.partition("<|The End of Reference Answer|>")
    conversation = _between(rest, "<|The Start of Assistant A's Conversation with User|>", "<|The End of Assistant A's")
    if not found or conversation is None:
        return None
    reference = references.rpartition("### Reference answer:")[2].strip()
    questions = re.findall(r"### User:\n(.*?)\n\n### Reference answer:", references, re.DOTALL)
    answer = conversation.rpartition("### Assistant A:")[2].strip()
    return Case(" ".join(questions), reference, answer)


def _words(text: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS)


def rate(case: Case) -> tuple[int, float]:
    """The rating, and the F1 score it comes from.

    Only words count that the question does not contain already: in "The opposite of hot is cold" the information is
    "cold", and repeating the rest earns nothing.
    """
    asked = _words(case.question)
    right = Counter({word: count for word, count in _words(case.reference).items() if word not in asked})
    if right:
        given = Counter({word: count for word, count in _words(case.answer).items() if word not in asked})
    else:
        # The reference only repeats the question's words: then these are the answer.
        right, given = _words(case.reference), _words(case.answer)
    common = (right & given).total()
    score = 2 * common / (right.total() + given.total()) if common else 0.0
    # Half up, where round() would send 5.5 and 6.5 to the same number.
    return 1 + int(9 * score + 0.5), score


def verdict(prompt: str) -> str:
    """The judge's reply to a prompt."""
    case = read_case(prompt)
    if case is None:
        return "There is no reference answer in this prompt, so this judge has nothing to compare with: no rating."
    rating, score = rate(case)
    return f"Compared with the reference answer, word by word: F1 {score:.2f}.\n\nRating: [[{rating}]]"


class Handler(BaseHTTPRequestHandler):
    """The two routes that evaluators use."""

    server: Judge
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(HTTPStatus.OK, {})
        elif self._authorised():
            if self.path == "/v1/models":
                models = [{"id": MODEL, "object": "model", "owned_by": "ilab-miniature"}]
                self._send(HTTPStatus.OK, {"object": "list", "data": models})
            else:
                self._fail(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST_BODY:
            self.close_connection = True
            self._fail(HTTPStatus.BAD_REQUEST, f"Content-Length must be from 0 to {_LARGEST_BODY}")
            return
        # Read before anything is refused: what is left in the socket would be taken for the next request.
        raw = self.rfile.read(length)
        if not self._authorised():
            return
        if self.path != "/v1/chat/completions":
            self._fail(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")
            return
        try:
            body = json.loads(raw)
            model, prompt = body["model"], body["messages"][-1]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            self._fail(HTTPStatus.BAD_REQUEST, "the body must be JSON with a model and messages")
            return
        if model != MODEL:
            self._fail(HTTPStatus.NOT_FOUND, f"the model {model!r} does not exist; this judge is {MODEL!r}")
        elif not isinstance(prompt, str):
            self._fail(HTTPStatus.BAD_REQUEST, "a message's content must be text")
        else:
            self._send(HTTPStatus.OK, _completion(prompt))

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(given.encode(), self.server.key.encode()):
            return True
        self._fail(HTTPStatus.UNAUTHORIZED, "the API key is missing or wrong")
        return False

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._send(status, {"error": {"message": message, "type": "invalid_request_error", "code": status.value}})

    def _send(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only failures are worth a line."""
        if not str(code).startswith("2"):
            super().log_request(code, size)


class Judge(ThreadingHTTPServer):
    """The listening judge and the key it asks for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], key: str) -> None:
        super().__init__(address, Handler)
        self.key = key


def _completion(prompt: str) -> dict[str, Any]:
    reply = verdict(prompt)
    read, written = len(prompt.split()), len(reply.split())
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args(argv)
    key = os.environ.get("JUDGE_API_KEY", "")
    if not key:
        parser.error("set JUDGE_API_KEY to the key that clients must send")
    with Judge((options.host, options.port), key) as judge:
        print(f"http://{options.host}:{judge.server_port}/v1", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            judge.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
