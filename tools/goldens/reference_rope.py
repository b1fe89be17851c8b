"""tools/goldens/reference_rope.py - frequencies of rotary positions, for reference.py.

From the papers (YaRN: arXiv 2309.00071) and from what the checkpoints mean by their fields.
"""
import math

import torch

TRAPS = frozenset("""
    rope_whole_head rope_adjacent rope_theta_1e4 rope_freq_of_head
    scaling_ignored yarn_no_factor yarn_factor_on_cos yarn_ramp_sharp yarn_all_stretched
    llama3_sharp llama3_all_stretched
""".split())


def yarn(freq, rotary, theta, s, trap):
    """Fast pairs stay, slow ones are stretched, a ramp between them; and a factor on cos and sin."""
    def pair_of(turns):
        """The pair that turns so often within the original context."""
        return (rotary * math.log(s["original_max_position_embeddings"] / (turns * 2 * math.pi))
                / (2 * math.log(theta)))
    low = max(math.floor(pair_of(s.get("beta_fast", 32))), 0)
    high = min(math.ceil(pair_of(s.get("beta_slow", 1))), rotary - 1)
    ramp = ((torch.arange(len(freq), dtype=freq.dtype) - low) / max(high - low, 0.001)).clamp(0, 1)
    if trap("yarn_ramp_sharp"):
        ramp = ramp.round()
    if trap("yarn_all_stretched"):
        ramp = torch.ones_like(ramp)
    factor = 0.1 * math.log(s["factor"]) + 1.0
    return freq * (1 - ramp) + freq / s["factor"] * ramp, factor


def llama3(freq, s, trap):
    """Short waves stay, long ones are stretched, those between in proportion to their frequency."""
    turns = s["original_max_position_embeddings"] * freq / (2 * math.pi)
    low, high = s["low_freq_factor"], s["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    if trap("llama3_sharp"):
        kept = kept.round()
    if trap("llama3_all_stretched"):
        kept = torch.zeros_like(kept)
    return kept * freq + (1 - kept) * freq / s["factor"]


class Rope:
    """Methods of Reference."""

    def frequencies(self, rotary, over):
        """([rotary / 2], factor on cos and sin)"""
        theta = 1e4 if self.trap("rope_theta_1e4") else self.config["rope_theta"]
        freq = theta ** (-2.0 * torch.arange(rotary // 2, dtype=self.dtype) / over)
        scaling = self.config.get("rope_scaling", {"rope_type": "default"})
        if scaling["rope_type"] == "default" or self.trap("scaling_ignored"):
            return freq, 1.0
        if scaling["rope_type"] == "linear":
            return freq / scaling["factor"], 1.0
        if scaling["rope_type"] == "llama3":
            return llama3(freq, scaling, self.trap), 1.0
        freq, factor = yarn(freq, rotary, theta, scaling, self.trap)
        return freq, 1.0 if self.trap("yarn_no_factor") else factor

    def rope(self, x):
        """x [tokens, heads, head_dim]; pairs (i, i + d/2) inside the first d dimensions."""
        dim = x.shape[-1]
        rotary = int(dim * self.config.get("partial_rotary_factor", 1.0))
        freq, factor = self.frequencies(rotary, dim if self.trap("rope_freq_of_head") else rotary)
        angle = torch.arange(x.shape[0], dtype=self.dtype)[:, None, None] * freq
        cos, sin = angle.cos() * factor, angle.sin() * factor
        if self.trap("yarn_factor_on_cos"):
            sin = angle.sin()
        first = torch.arange(rotary // 2)
        second = first + (dim if self.trap("rope_whole_head") else rotary) // 2
        if self.trap("rope_adjacent"):
            first, second = 2 * first, 2 * first + 1
        y = x.clone()
        y[..., first] = x[..., first] * cos - x[..., second] * sin
        y[..., second] = x[..., second] * cos + x[..., first] * sin
        return y
