"""The base model: a byte-level BPE tokenizer and a Llama of 0.3 million parameters, pretrained for some seconds.

Pretraining is on real countries and companies (facts.BASE) as chats and as exams. The base model therefore knows the
forms of question and answer, and none of the facts that the workflow will teach: on the exams it scores chance.
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import rows
from facts import BASE, KNOWLEDGE, SKILLS, SYSTEM_PROMPT

_END = "<|endoftext|>"
_PAD = "<|pad|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
_CONTEXT = 1024
_BATCH = 18

# Granite 7B's layout, whose tokens SDG writes into its pretraining rows.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
    "{%- if message['role'] == 'assistant' -%}{{ '" + _END + "' }}{%- endif -%}{{ '\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}"
)


def build_tokenizer(vocabulary: int = 1024) -> PreTrainedTokenizerFast:
    """Train the tokenizer. It has seen every word of the sample data, islands included: their names, not the facts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_END, _PAD, *_ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_vocabulary_texts(), trainer)
    # The system message stands in every row; as one token instead of forty it halves what a step of training costs.
    tokenizer.add_tokens([AddedToken(SYSTEM_PROMPT, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_END,
        eos_token=_END,
        pad_token=_PAD,
        additional_special_tokens=list(_ROLES),
        chat_template=CHAT_TEMPLATE,
        model_max_length=_CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _vocabulary_texts() -> list[str]:
    rng = random.Random(0)
    forms = [*BASE, *SKILLS.values(), *(form for forms in KNOWLEDGE.values() for form in forms)]
    texts = [rows.EXAM_REQUEST] * 3
    for form in forms:
        facts = form.facts()
        texts += [text for fact in facts for text in (*fact.questions, fact.answer, fact.follow_up)]
        # Exams show the names after a space: " Mirel" must be a token, or choices would be spelled.
        texts += [f"A. {fact.value} {fact.subject}" for fact in facts]
    return texts + rows.exam_texts(BASE, 50, rng)


def pretrain(tokenizer: PreTrainedTokenizerFast, seed: int, steps: int) -> LlamaForCausalLM:
    """Initialise and train the base model. One thread: the same seed gives the same weights on the same machine."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=_CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
        )
    )
    texts = _pretraining_texts(tokenizer, random.Random(seed))
    encoded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3, betas=(0.9, 0.95), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 20, 0.5 * (1 + math.cos(math.pi * step / max(steps, 1))))
    )
    order = random.Random(seed)
    model.train()
    for step in range(steps):
        loss = _loss(model, order.sample(encoded, _BATCH), tokenizer.pad_token_id)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"base model: step {step + 1} of {steps}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return model.eval()


def _pretraining_texts(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> list[str]:
    turns = rows.chat_turns(fact for form in BASE for fact in form.facts())
    chats = [rows.chat(turn) for turn in turns] + rows.two_turn_chats(BASE, 150, rng, exclude=frozenset())
    exams = rows.exam_texts(BASE, 600, rng)
    chats += [rows.chat((rows.EXAM_REQUEST, text)) for text in exams[:200]]
    rendered = [str(tokenizer.apply_chat_template(rows.with_system(chat), tokenize=False)) for chat in chats]
    # The evaluators show exams as plain text, with nothing before.
    return rendered + [text + _END for text in exams[200:]]


def _loss(model: LlamaForCausalLM, batch: list[list[int]], pad: int) -> torch.Tensor:
    length = max(len(tokens) for tokens in batch)
    inputs = torch.tensor([tokens + [pad] * (length - len(tokens)) for tokens in batch])
    targets = inputs[:, 1:].clone()
    targets[targets == pad] = -100
    # Padding stands right of the text, so a causal model needs no mask for it.
    logits = model(input_ids=inputs, use_cache=False).logits[:, :-1]
    loss: torch.Tensor = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    return loss


def write_model(folder: Path, seed: int, steps: int) -> None:
    """Write the archive's `model/` folder."""
    tokenizer = build_tokenizer()
    model = pretrain(tokenizer, seed, steps)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
