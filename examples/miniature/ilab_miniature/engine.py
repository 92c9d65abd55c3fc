"""A model in memory: what the server's routes need of it. One request at a time; the model is not thread-safe."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast


class RequestError(ValueError):
    """The request cannot be answered; the message says why."""


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None


@dataclass(frozen=True)
class Generated:
    """What came out. `logprobs[i]` belongs to `tokens[i]`; `alternatives[i]` are the likeliest there."""

    tokens: list[int]
    logprobs: list[float]
    alternatives: list[dict[int, float]]
    finish_reason: str


@dataclass(frozen=True)
class Echo:
    """Log probabilities of the prompt's own tokens; the first has none."""

    logprobs: list[float | None]
    alternatives: list[dict[int, float] | None]


class Engine:
    """A checkpoint and its tokenizer."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
        self.model = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.context = int(self.model.config.max_position_embeddings)
        self._vocabulary = int(self.model.config.vocab_size)
        self._lock = threading.Lock()

    def render(self, messages: list[dict[str, str]]) -> list[int]:
        """The tokens of a conversation, up to where the assistant's answer begins."""
        tokens = self.tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=False
        )
        return list(tokens)

    def encode(self, text: str) -> list[int]:
        """The tokens of plain text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def text(self, tokens: list[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def token_text(self, token: int) -> str:
        """The text of a single token, special or not."""
        return str(self.tokenizer.decode([token]))

    def run(self, prompt: list[int], sampling: Sampling, *, echo: bool, top: int) -> tuple[Generated, Echo | None]:
        """Generate after a prompt. With `echo`, rate the prompt's tokens too. `top` alternatives are kept for each."""
        if not prompt:
            raise RequestError("the prompt is empty")
        if not all(0 <= token < self._vocabulary for token in prompt):
            raise RequestError(f"a token of the prompt is outside of the vocabulary of {self._vocabulary}")
        if len(prompt) >= self.context + (sampling.max_tokens == 0):
            raise RequestError(f"the prompt's {len(prompt)} tokens leave no room in a context of {self.context}")
        with self._lock, torch.inference_mode():
            return self._run(prompt, sampling, echo, top)

    def _run(self, prompt: list[int], sampling: Sampling, echo: bool, top: int) -> tuple[Generated, Echo | None]:
        cache = DynamicCache()
        scores = self._forward(prompt, cache)
        rated = _rate_prompt(prompt, scores, top) if echo else None
        dice = torch.Generator().manual_seed(_seed(prompt, sampling))
        result = Generated([], [], [], "length")
        end = self.tokenizer.eos_token_id
        for _ in range(min(sampling.max_tokens, self.context - len(prompt))):
            row = torch.log_softmax(scores[-1], dim=-1)
            token = _choose(row, sampling, dice)
            if token == end and not echo:
                return Generated(result.tokens, result.logprobs, result.alternatives, "stop"), rated
            result.tokens.append(token)
            result.logprobs.append(float(row[token]))
            result.alternatives.append(_top(row, top))
            if token == end:
                return Generated(result.tokens, result.logprobs, result.alternatives, "stop"), rated
            if len(result.tokens) < sampling.max_tokens and len(prompt) + len(result.tokens) < self.context:
                scores = self._forward([token], cache)
        return result, rated

    def _forward(self, tokens: list[int], cache: DynamicCache) -> torch.Tensor:
        output: Any = self.model(input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True)
        logits: torch.Tensor = output.logits[0]
        return logits


def _rate_prompt(prompt: list[int], scores: torch.Tensor, top: int) -> Echo:
    logprobs: list[float | None] = [None]
    alternatives: list[dict[int, float] | None] = [None]
    rows = torch.log_softmax(scores, dim=-1)
    for position, token in enumerate(prompt[1:]):
        logprobs.append(float(rows[position, token]))
        alternatives.append(_top(rows[position], top))
    return Echo(logprobs, alternatives)


def _top(row: torch.Tensor, count: int) -> dict[int, float]:
    if count <= 0:
        return {}
    values, tokens = row.topk(min(count, row.numel()))
    return dict(zip((int(token) for token in tokens), (float(value) for value in values), strict=True))


def _choose(row: torch.Tensor, sampling: Sampling, dice: torch.Generator) -> int:
    if sampling.temperature <= 0:
        return int(row.argmax())
    chances = torch.softmax(row / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ordered, tokens = chances.sort(descending=True)
        # Keep the smallest set that reaches top_p: a token goes when those before it already do.
        ordered[ordered.cumsum(0) - ordered >= sampling.top_p] = 0
        chances = torch.zeros_like(chances).scatter(0, tokens, ordered)
    return int(torch.multinomial(chances, 1, generator=dice))


def _seed(prompt: list[int], sampling: Sampling) -> int:
    """Chance comes from the request alone, so a repeated evaluation gives the same scores."""
    if sampling.seed is not None:
        return sampling.seed & (2**63 - 1)
    return int.from_bytes(hashlib.sha256(repr(prompt).encode()).digest()[:7], "big")
