"""An OpenAI-compatible server of one checkpoint, started with vLLM's flags.

    python3 -m ilab_miniature.server --port 8000 --model /data/model [--tensor-parallel-size 1] \
        [--served-model-name NAME] [--host 127.0.0.1]

GET /health, GET /v1/models, POST /v1/chat/completions, POST /v1/completions (logprobs and echo included).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ilab_miniature import routes
from ilab_miniature.engine import Engine, RequestError

_LARGEST_BODY = 32 * 1024 * 1024

Route = Callable[[Engine, str, routes.Body], dict[str, Any]]
_POSTS: dict[str, Route] = {
    "/v1/chat/completions": routes.chat_completions,
    "/v1/completions": routes.completions,
}


class Server(ThreadingHTTPServer):
    """The engine, the name it is served under, and the socket."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], engine: Engine, name: str) -> None:
        super().__init__(address, Handler)
        self.engine = engine
        self.name = name


class Handler(BaseHTTPRequestHandler):
    """Reads requests, finds their route, writes JSON."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Without it the headers and the body leave as two packets, and the second waits for the client's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(HTTPStatus.OK, {})
        elif self.path == "/v1/models":
            self._send(HTTPStatus.OK, routes.models(self.server.name, self.server.engine.context))
        else:
            self._fail(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        route = _POSTS.get(self.path)
        if route is None:
            self._fail(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")
            return
        try:
            self._send(HTTPStatus.OK, route(self.server.engine, self.server.name, body))
        except routes.UnknownModelError as error:
            self._fail(HTTPStatus.NOT_FOUND, str(error))
        except RequestError as error:
            self._fail(HTTPStatus.BAD_REQUEST, str(error))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:
            # A request that trips over a bug here must not look like a bad answer of the model.
            self.log_error("failed: %r", error)
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _body(self) -> dict[str, Any] | None:
        """The request's JSON object; None if there is none and the client has been told."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST_BODY:
            self.close_connection = True
            self._fail(HTTPStatus.BAD_REQUEST, f"Content-Length must be from 0 to {_LARGEST_BODY}")
            return None
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._fail(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
            return None
        return body

    def _fail(self, status: HTTPStatus, message: str) -> None:
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        self._send(status, {"error": {"message": message, "type": kind, "param": None, "code": status.value}})

    def _send(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only failures are worth a line; evaluators send hundreds of requests."""
        if not str(code).startswith("2"):
            super().log_request(code, size)


def main(argv: list[str] | None = None) -> int:
    """Load the model, serve it until told to stop."""
    parser = argparse.ArgumentParser(prog="ilab_miniature.server", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one")
    parser.add_argument("--model", type=Path, required=True, help="a checkpoint's folder")
    parser.add_argument("--served-model-name", help="the name clients use; the model's path by default, as in vLLM")
    parser.add_argument(
        "--tensor-parallel-size", type=int, default=1, help="accepted; there is nothing to split on a CPU"
    )
    options = parser.parse_args(argv)
    if not (options.model / "config.json").is_file():
        parser.error(f"no model in {options.model}: config.json is missing")
    engine = Engine(options.model)
    server = Server((options.host, options.port), engine, options.served_model_name or str(options.model))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    print(f"serving {server.name} on http://{options.host}:{server.server_port}/v1", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt), server:
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
