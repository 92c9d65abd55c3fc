"""A model server with vLLM's command line whose model is a file: `MODEL/fake.json` says how it behaves.

Keys: `quality` (its answers end in it, and the fake judge rates by it), `exit` (leave with this status at the start),
`die_after` (leave without a word after so many answers), `refuse` (so many of
the first questions, with status 400), `never_ready`, `ignore_term`, `other_name`.
Everything it was asked for is appended to the file that FAKE_SERVER_LOG names.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


def record(entry: dict[str, Any]) -> None:
    if os.environ.get("FAKE_SERVER_LOG"):
        with Path(os.environ["FAKE_SERVER_LOG"]).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")


class Handler(BaseHTTPRequestHandler):
    model = ""
    behaviour: ClassVar[dict[str, Any]] = {}
    answers = 0

    def do_GET(self) -> None:
        self._reply({"data": [{"id": self.behaviour.get("other_name", self.model)}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        record({"path": self.path, "model": body["model"], "headers": dict(self.headers)})
        if Handler.answers >= self.behaviour.get("die_after", 1_000_000):
            print("CUDA error: out of memory", flush=True)
            os._exit(9)
        Handler.answers += 1
        if Handler.answers <= self.behaviour.get("refuse", 0):
            self._reply({"error": {"message": "too long"}}, status=400)
            return
        text = f"This answer has quality {self.behaviour.get('quality', 5)}"
        self._reply({"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})

    def _reply(self, value: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tensor-parallel-size", type=int)
    parser.add_argument("--max-model-len", type=int)
    args = parser.parse_args()
    Handler.model = args.model
    Handler.behaviour = json.loads((Path(args.model) / "fake.json").read_text(encoding="utf-8"))
    record({"argv": sys.argv[1:], "pid": os.getpid(), "cwd": str(Path.cwd())})
    if "exit" in Handler.behaviour:
        print("ValueError: this architecture is not supported", flush=True)
        raise SystemExit(Handler.behaviour["exit"])
    if Handler.behaviour.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while Handler.behaviour.get("never_ready"):
        print("loading weights", flush=True)
        time.sleep(0.2)
    ThreadingHTTPServer((args.host, args.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
