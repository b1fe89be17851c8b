"""Training: steps, schedule, checkpoints, held-out loss.

The run folder holds everything: tokenizer.json, checkpoint.pt (written to a new file, then
renamed), log.jsonl, and schedule.json. The schedule may be edited while the run goes on:
  grow_step    from here on the model has twice the layers
  steps        the last step
  decay_steps  the learning rate falls linearly to zero over the last so many steps
"""

import json
import math
import os
import random as random_module
import signal
import time

import torch
import torch.nn.functional as F

import batches as batching
from corpus import is_han
from model import Poet, Shape, answer_loss, grow
from optimiser import make_optimisers
from prompts import SYSTEMS

MATRIX_LR = 0.02
EMBEDDING_LR = 0.005
VECTOR_LR = 0.004
WARMUP_STEPS = 40
GROWN_WARMUP_STEPS = 20
GRADIENT_NORM_MAX = 2.0
MICROBATCH_TOKENS = 2048  # fits the caches of a small CPU
CHECKPOINT_SECONDS = 300
HELDOUT_EVERY = 200
LOG_EVERY = 20


class HeldOut:
    """Perplexity on poems whose titles were never trained, with prompts fixed once."""

    def __init__(self, poems, writer, tokenizer, tokens_max):
        random = random_module.Random("heldout")
        rows = [batching.encode_conversation(tokenizer, writer.poem_turns(poem, random))
                for poem in poems]
        self.batches = batching.epoch_batches(rows, tokens_max, random)
        self.is_character = torch.tensor([is_han(tokenizer.decode([i]))
                                          for i in range(len(tokenizer.tokens))])

    @torch.no_grad()
    def measure(self, model, device):
        """Perplexity per answer token, and per Chinese character of the answers."""
        loss_sum, count, character_sum, characters = 0.0, 0, 0.0, 0
        for batch in self.batches:
            ids, positions, targets = to_device(batch, device)
            hidden = model.model(ids).flatten(0, 1)[positions]
            loss = F.cross_entropy(model.logits(hidden), targets, reduction="none")
            is_character = self.is_character.to(device)[targets]
            loss_sum, count = loss_sum + loss.sum().item(), count + len(targets)
            character_sum += loss[is_character].sum().item()
            characters += int(is_character.sum())
        return {"perplexity": math.exp(loss_sum / count),
                "character_perplexity": math.exp(character_sum / characters)}


def to_device(batch, device):
    return [torch.from_numpy(a).to(device) for a in (batch.ids, batch.positions, batch.targets)]


class Trainer:
    def __init__(self, run, data, step_tokens, device, seed=1):
        """data: poems, heldout, writer, tokenizer, as prepared by the entry script."""
        self.run, self.data, self.device, self.seed = run, data, device, seed
        self.microbatches = max(1, step_tokens // MICROBATCH_TOKENS)
        self.step, self.epoch, self.offset = 0, 0, 0
        self.tokens, self.seconds = 0, 0.0
        self.stopping = False
        torch.manual_seed(seed)
        self.adopt(Poet(Shape(len(data.tokenizer.tokens), layers=Shape.layers // 2)))
        self.grown_at = None
        self.heldout = HeldOut(data.heldout, data.writer, data.tokenizer, MICROBATCH_TOKENS)

    def adopt(self, model):
        self.model = model.to(self.device)
        self.optimisers = make_optimisers(self.model, MATRIX_LR, EMBEDDING_LR, VECTOR_LR)

    # --- the run folder ---

    def path(self, name):
        return os.path.join(self.run, name)

    def schedule(self):
        with open(self.path("schedule.json"), encoding="utf-8") as source:
            return json.load(source)

    def log(self, **record):
        line = json.dumps({"step": self.step, "epoch": round(self.epoch_now(), 2),
                           "tokens": self.tokens, "seconds": round(self.seconds), **record})
        print(line, flush=True)
        with open(self.path("log.jsonl"), "a", encoding="utf-8") as target:
            target.write(line + "\n")

    def save(self):
        state = {"shape": self.model.shape.as_dict(), "model": self.model.state_dict(),
                 "optimisers": [o.state_dict() for o in self.optimisers],
                 "progress": {name: getattr(self, name) for name in self.PROGRESS}}
        torch.save(state, self.path("checkpoint.new"))
        os.replace(self.path("checkpoint.new"), self.path("checkpoint.pt"))

    PROGRESS = ("step", "epoch", "offset", "tokens", "seconds", "grown_at")

    def resume(self):
        if not os.path.exists(self.path("checkpoint.pt")):
            return
        state = torch.load(self.path("checkpoint.pt"), map_location=self.device)
        self.adopt(Poet(Shape(**state["shape"])))
        self.model.load_state_dict(state["model"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(stored)
        for name in self.PROGRESS:
            setattr(self, name, state["progress"][name])

    # --- data ---

    def load_epoch(self):
        data = self.data
        conversations = batching.epoch_conversations(
            data.poems, data.writer, data.tokenizer, SYSTEMS, self.seed, self.epoch)
        random = random_module.Random(f"{self.seed}/{self.epoch}/order")
        self.batches = batching.epoch_batches(conversations, MICROBATCH_TOKENS, random)

    def epoch_now(self):
        return self.epoch + self.offset / max(1, len(getattr(self, "batches", ())))

    def next_batches(self):
        """The microbatches of one step; the rest of an epoch that fills no step is dropped."""
        if self.offset + self.microbatches > len(self.batches):
            self.epoch, self.offset = self.epoch + 1, 0
            self.load_epoch()
        self.offset += self.microbatches
        return self.batches[self.offset - self.microbatches:self.offset]

    # --- steps ---

    def rate(self, plan):
        """Fraction of the peak learning rate: warm-up, plateau, linear fall."""
        rate = min(1.0, (self.step + 1) / WARMUP_STEPS)
        if self.grown_at is not None:
            rate = min(rate, (self.step - self.grown_at + 1) / GROWN_WARMUP_STEPS)
        return min(rate, (plan["steps"] - self.step) / max(1, plan["decay_steps"]))

    def train_step(self, rate):
        group = self.next_batches()
        answers = sum(len(batch.targets) for batch in group)
        total = 0.0
        for batch in group:
            ids, positions, targets = to_device(batch, self.device)
            hidden = self.model.model(ids).flatten(0, 1)[positions]
            loss = answer_loss(hidden, self.model.model.embed_tokens.weight, targets) / answers
            loss.backward()
            total += loss.item()
            self.tokens += ids.numel()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM_MAX)
        for optimiser in self.optimisers:
            for parameters in optimiser.param_groups:
                parameters["lr"] = parameters["peak_lr"] * rate
            optimiser.step()
            optimiser.zero_grad()
        return total

    def ask_to_stop(self, *_):
        self.stopping = True

    def train(self):
        self.load_epoch()
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        saved = time.monotonic()
        smooth = None
        while self.step < (plan := self.schedule())["steps"]:
            if self.step >= plan["grow_step"] and self.grown_at is None:
                self.log(event="grow", **self.heldout.measure(self.model, self.device))
                self.adopt(grow(self.model))
                self.grown_at = self.step
            begin, rate = time.monotonic(), self.rate(plan)
            loss = self.train_step(rate)
            self.step += 1
            self.seconds += time.monotonic() - begin
            smooth = loss if smooth is None else 0.95 * smooth + 0.05 * loss
            if self.step % LOG_EVERY == 0:
                self.log(loss=round(smooth, 4), rate=round(rate, 4))
            if self.step % HELDOUT_EVERY == 0 or self.step == plan["steps"]:
                self.log(**self.heldout.measure(self.model, self.device))
            due = time.monotonic() - saved > CHECKPOINT_SECONDS
            if due or self.stopping or self.step == plan["steps"]:
                self.save()
                saved = time.monotonic()
            if self.stopping:
                raise SystemExit("stopped; the same command resumes")
