"""The judge model: where it is, how it is reached, and whether it answers.

Address, name and key come from the environment, which the stage fills from a Secret or ConfigMap. The key is kept out
of every message.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runner import BadInput, Failed, describe, say

_VARIABLES = ("JUDGE_ENDPOINT", "JUDGE_NAME", "JUDGE_API_KEY")
# A reply to a question may take a judge of 8x7B parameters minutes.
_REPLY_SECONDS = 600.0


@dataclass(frozen=True)
class Judge:
    """A judge model behind an OpenAI-compatible API."""

    endpoint: str
    name: str
    key: str = field(repr=False)
    ca: Path | None = None

    @staticmethod
    def from_environment() -> Judge:
        """Read and check the variables; all that are missing are named at once."""
        # Secrets made from files often end in a newline.
        values = {name: os.environ.get(name, "").strip() for name in _VARIABLES}
        missing = [name for name, value in values.items() if not value]
        if missing:
            raise BadInput(f"not set or empty: {', '.join(missing)}", "environment", "a judge Secret with these keys")
        endpoint, name, key = (values[variable] for variable in _VARIABLES)
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("JUDGE_ENDPOINT is no http(s) address", endpoint, "https://HOST/v1")
        # The evaluator makes file names of it; an absolute one would be written outside of its folder.
        if name.startswith("/") or ".." in name.split("/"):
            raise BadInput("JUDGE_NAME is a path, which the evaluator cannot use", name, "a plain served model name")
        return Judge(endpoint, name, key, _ca_from_environment())

    def http_client(self) -> Any:
        """The client for the judge, and only for it: it trusts the custom authority besides the usual ones."""
        import httpx

        verify: Any = True
        if self.ca is not None:
            verify = httpx.create_ssl_context()
            try:
                verify.load_verify_locations(cafile=str(self.ca))
            except (OSError, ssl.SSLError) as error:
                raise BadInput(f"JUDGE_CA_CERT_PATH has no PEM certificates: {error}", self.ca) from error
        return httpx.Client(verify=verify, timeout=_REPLY_SECONDS, follow_redirects=True)

    def require_answer(self, patience: float) -> None:
        """Ask for one token before hours of work depend on it.

        Connection errors and 5xx are retried for `patience` seconds: serving runtimes start slowly.
        """
        say(f"judge: asking {self.name} at {self.endpoint}")
        deadline = time.monotonic() + patience
        pause = 1.0
        with self.http_client() as client:
            while True:
                problem, hint, passing = self._probe(client)
                if not problem:
                    return
                problem = problem.replace(self.key, "***")
                if not passing or time.monotonic() + pause > deadline:
                    raise Failed(f"the judge does not answer: {problem}", self.endpoint, hint)
                say(f"judge: {problem}; asking again in {pause:.0f} s")
                time.sleep(pause)
                pause = min(pause * 2, 15.0)

    def _probe(self, client: Any) -> tuple[str, str, bool]:
        """One question; returns what is wrong (empty when nothing is), what to try, and whether it may pass."""
        import httpx

        question = {"model": self.name, "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 1}
        try:
            reply = client.post(
                f"{self.endpoint.rstrip('/')}/chat/completions",
                json=question,
                headers={"Authorization": f"Bearer {self.key}"},
            )
        except httpx.HTTPError as error:
            text = describe(error)
            if "CERTIFICATE_VERIFY_FAILED" in text:
                return text, "a judge CA certificate (JUDGE_CA_CERT_PATH)", False
            return text, "the endpoint from inside the cluster", True
        if reply.status_code < 400:
            return "", "", False
        text = f"HTTP {reply.status_code}: {' '.join(reply.text.split())[:200]}"
        hint = {
            401: "another JUDGE_API_KEY",
            403: "another JUDGE_API_KEY",
            404: f"an endpoint that ends in /v1, and whether it serves {self.name}",
        }.get(reply.status_code, "the judge's own log")
        return text, hint, reply.status_code == 429 or reply.status_code >= 500


def _ca_from_environment() -> Path | None:
    # Not having one is normal: asking whether a path of None exists was the defect of a later reference.
    text = os.environ.get("JUDGE_CA_CERT_PATH", "").strip()
    if not text:
        return None
    path = Path(text)
    if not path.is_file():
        raise BadInput("JUDGE_CA_CERT_PATH names no file", path, "the key of the CA ConfigMap")
    return path
