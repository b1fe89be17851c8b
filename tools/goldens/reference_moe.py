"""tools/goldens/reference_moe.py - a mixture of experts, for reference.py."""
import torch

TRAPS = frozenset("""
    router_norm_flipped router_ties_high router_one_less router_bf16 router_weight_on_input
    shared_missing shared_gate_missing shared_gate_raw
""".split())


class Experts:
    """Methods of Reference."""

    def route(self, prefix, x):
        """(experts [tokens, k], best first; their weights). Softmax over all, ties to the lower
        index; over the chosen ones only where norm_topk_prob says so."""
        count = self.config["num_experts_per_tok"] - self.trap("router_one_less")
        w = self.weights[prefix + "gate.weight"]
        if self.trap("router_bf16"):
            x, w = (t.to(torch.bfloat16).to(self.dtype) for t in (x, w))
        scores = (x @ w.T).softmax(-1)
        if self.trap("router_ties_high"):
            order = torch.sort(scores.flip(-1), dim=-1, descending=True, stable=True)[1]
            order = scores.shape[-1] - 1 - order
        else:
            order = torch.sort(scores, dim=-1, descending=True, stable=True)[1]
        chosen = order[:, :count]
        weight = scores.gather(1, chosen)
        if self.norms_topk() != self.trap("router_norm_flipped"):
            weight = weight / weight.sum(-1, keepdim=True)
        return chosen, weight

    def norms_topk(self):
        """qwen3_5_moe always does; elsewhere the configuration says it, or it is not done."""
        return self.config["model_type"].startswith("qwen3_5") or self.config.get(
            "norm_topk_prob", False)

    def experts(self, prefix, x):
        """x [tokens, hidden]"""
        chosen, weight = self.route(prefix, x)
        out = torch.zeros_like(x)
        for t in range(x.shape[0]):
            for e, w in zip(chosen[t].tolist(), weight[t]):
                name = f"{prefix}experts.{e}."
                if self.trap("router_weight_on_input"):
                    out[t] += self.swiglu(name, x[t:t + 1] * w)[0]
                else:
                    out[t] += w * self.swiglu(name, x[t:t + 1])[0]
        if "shared_expert_intermediate_size" in self.config and not self.trap("shared_missing"):
            gate = x @ self.weights[prefix + "shared_expert_gate.weight"].T
            if self.trap("shared_gate_missing"):
                gate = torch.ones_like(gate)
            elif not self.trap("shared_gate_raw"):
                gate = gate.sigmoid()
            out = out + gate * self.swiglu(prefix + "shared_expert.", x)
        return out
