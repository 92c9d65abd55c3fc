"""The OpenAI-compatible routes, as functions from a request's body to a response's. No HTTP here."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from ilab_miniature.engine import Echo, Engine, Generated, RequestError, Sampling

Body = Mapping[str, Any]


class UnknownModelError(RequestError):
    """The request names a model that is not served."""


def models(name: str, context: int) -> dict[str, Any]:
    """`GET /v1/models`."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "owned_by": "ilab-miniature", "max_model_len": context}],
    }


def chat_completions(engine: Engine, name: str, body: Body) -> dict[str, Any]:
    """`POST /v1/chat/completions`."""
    _refuse_the_unsupported(body, name)
    prompt = engine.render(_messages(body))
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    generated, _ = engine.run(prompt, _sampling(body, limit, default=engine.context), echo=False, top=0)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": engine.text(generated.tokens).strip()},
        "finish_reason": generated.finish_reason,
    }
    return _answer("chat.completion", name, [choice], len(prompt), len(generated.tokens))


def completions(engine: Engine, name: str, body: Body) -> dict[str, Any]:
    """`POST /v1/completions`: text, token ids, or lists of either; with logprobs and echo."""
    _refuse_the_unsupported(body, name)
    echo = body.get("echo", False) is True
    logprobs = body.get("logprobs")
    if logprobs is not None and (
        isinstance(logprobs, bool) or not isinstance(logprobs, int) or not 0 <= logprobs <= 20
    ):
        raise RequestError("logprobs must be a whole number from 0 to 20")
    sampling = _sampling(body, body.get("max_tokens"), default=16)
    choices = []
    read = written = 0
    for index, prompt in enumerate(_prompts(engine, body)):
        generated, rated = engine.run(prompt, sampling, echo=echo, top=logprobs or 0)
        read, written = read + len(prompt), written + len(generated.tokens)
        choices.append(
            {
                "index": index,
                "text": engine.text(prompt if echo else []) + engine.text(generated.tokens),
                "finish_reason": generated.finish_reason,
                "logprobs": None if logprobs is None else _logprobs(engine, prompt, generated, rated),
            }
        )
    return _answer("text_completion", name, choices, read, written)


def _logprobs(engine: Engine, prompt: list[int], generated: Generated, rated: Echo | None) -> dict[str, Any]:
    tokens = [*(prompt if rated else []), *generated.tokens]
    values = [*(rated.logprobs if rated else []), *generated.logprobs]
    alternatives = [*(rated.alternatives if rated else []), *generated.alternatives]
    texts = [engine.token_text(token) for token in tokens]
    offsets = [0]
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    listed = [
        None if some is None else {engine.token_text(token): value for token, value in some.items()}
        for some in alternatives
    ]
    return {"tokens": texts, "token_logprobs": values, "top_logprobs": listed, "text_offset": offsets[:-1]}


def _messages(body: Body) -> list[dict[str, str]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages must be a list with at least one message")
    result = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise RequestError("a message needs a role (system, user or assistant) and its content as text")
        result.append({"role": role, "content": content})
    return result


def _prompts(engine: Engine, body: Body) -> list[list[int]]:
    prompt = body.get("prompt")
    if isinstance(prompt, str) or (isinstance(prompt, list) and prompt and all(_is_token(item) for item in prompt)):
        prompt = [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise RequestError("prompt must be text, a list of token ids, or a list of these")
    result = []
    for item in prompt:
        if isinstance(item, str):
            result.append(engine.encode(item))
        elif isinstance(item, list) and all(_is_token(token) for token in item):
            result.append(item)
        else:
            raise RequestError("prompt must be text, a list of token ids, or a list of these")
    return result


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _sampling(body: Body, limit: object, default: int) -> Sampling:
    temperature, top_p, seed = body.get("temperature"), body.get("top_p"), body.get("seed")
    return Sampling(
        max_tokens=int(_number("max_tokens", default if limit is None else limit, 0, 1_000_000)),
        temperature=_number("temperature", 1.0 if temperature is None else temperature, 0, 100),
        top_p=_number("top_p", 1.0 if top_p is None else top_p, 0, 1),
        seed=None if seed is None else int(_number("seed", seed, -(2**63), 2**63)),
    )


def _number(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"{name} must be a number from {low} to {high}")
    return value


def _refuse_the_unsupported(body: Body, name: str) -> None:
    model = body.get("model")
    if model is not None and model != name:
        raise UnknownModelError(f"the model {model!r} does not exist; this server has {name!r}")
    if body.get("stream"):
        raise RequestError("streaming is not supported")
    if body.get("n") not in (None, 1) or body.get("best_of") not in (None, 1):
        raise RequestError("only one choice a prompt is supported")
    if body.get("stop"):
        raise RequestError("stop sequences are not supported; a model ends its answers itself")


def _answer(kind: str, name: str, choices: list[dict[str, Any]], read: int, written: int) -> dict[str, Any]:
    return {
        "id": f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": name,
        "choices": choices,
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }
