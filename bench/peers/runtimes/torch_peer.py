"""PyTorch as a peer: the same jobs as child.ts, for the same files. One JSON job as argument, one JSON outcome on the last line of
stdout. Needs Debian's python3-torch and nothing else: safetensors are read by hand. Decoding is written as a careful PyTorch user would
(inference mode, addmm, scaled_dot_product_attention, a preallocated cache); Adam is torch.optim.Adam, default or fused by variant.
Legend: B batch, T time, C hidden size, H heads, D head size, V vocabulary."""
import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
protocol, shape = job["protocol"], job["shape"]


def blas():
    """The library behind torch's products: Debian's reference BLAS, which torch pulls in by default, is ten times slower than OpenBLAS."""
    with open("/proc/self/maps") as maps:
        text = maps.read()
    return "OpenBLAS" if "openblas" in text else "BLIS" if "libblis" in text else "reference BLAS (slow: apt-get install -y libopenblas0-pthread)"


def read_safetensors(path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            tensors[name] = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=8 + length + begin).reshape(info["shape"]).clone()
    return tensors


class Gpt2:
    def __init__(self, folder):
        self.w = read_safetensors(folder + "/model.safetensors")
        size = (shape["numLayers"], 1, shape["numHeads"], shape["contextSize"], shape["headDim"])
        self.keys, self.values, self.length = torch.zeros(size), torch.zeros(size), 0

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], shape["normEpsilon"])

    def conv(self, x, name):
        return torch.addmm(self.w[name + ".bias"], x, self.w[name + ".weight"])

    def logits(self, ids):  # T ids -> [V], after the last
        begin, end = self.length, self.length + len(ids)
        x = self.w["transformer.wte.weight"][ids] + self.w["transformer.wpe.weight"][begin:end]  # [T, C]
        for l in range(shape["numLayers"]):
            at = f"transformer.h.{l}"
            q, k, v = self.conv(self.norm(x, at + ".ln_1"), at + ".attn.c_attn").reshape(1, len(ids), 3, shape["numHeads"], shape["headDim"]).permute(2, 0, 3, 1, 4)  # [1, H, T, D]
            self.keys[l, :, :, begin:end] = k
            self.values[l, :, :, begin:end] = v
            # is_causal aligns at the first key: right for a prompt from position 0, and not needed for one token.
            assert begin == 0 or len(ids) == 1
            mixed = F.scaled_dot_product_attention(q, self.keys[l, :, :, :end], self.values[l, :, :, :end], is_causal=len(ids) > 1)
            x = x + self.conv(mixed.transpose(1, 2).reshape(len(ids), -1), at + ".attn.c_proj")
            x = x + self.conv(F.gelu(self.conv(self.norm(x, at + ".ln_2"), at + ".mlp.c_fc"), approximate="tanh"), at + ".mlp.c_proj")
        self.length = end
        return torch.mv(self.w["transformer.wte.weight"], self.norm(x[-1], "transformer.ln_f"))


def write_logits():
    model = Gpt2(job["folder"])
    rows = [model.logits(job["prompt"])] + [model.logits([token]) for token in job["following"]]
    with open(job["output"], "wb") as file:
        file.write(bytes(torch.stack(rows).contiguous().view(torch.uint8).flatten().tolist()))
    return {}


def time_decoding():
    model = Gpt2(job["folder"])
    prefill, decode = [], []
    for turn in range(protocol["warmups"] + protocol["passes"]):
        model.length = 0
        started = time.perf_counter()
        token = int(model.logits(job["prompt"]).argmax())
        prefilled = time.perf_counter()
        for _ in range(protocol["decodeTokens"]):
            token = int(model.logits([token]).argmax())
        ended = time.perf_counter()
        if turn >= protocol["warmups"]:
            prefill.append(1000 * (prefilled - started))
            decode.append(1000 * (ended - prefilled))
    return {"prefill": prefill, "decode": decode}


def time_training():
    file, t = read_safetensors(job["folder"] + "/head.safetensors"), job["training"]
    states, teacher, head = file["states"], file["teacher"], file["head"].requires_grad_()  # [B, C], [B, V], [V, C]
    adam = torch.optim.Adam([head], lr=t["learningRate"], betas=(t["beta1"], t["beta2"]), eps=t["epsilon"], fused=True if job["variant"] == "fused" else None)
    losses, times = [], []
    for _ in range(protocol["warmups"] + protocol["steps"]):
        started = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        loss = F.kl_div(F.log_softmax(states @ head.T, -1), F.log_softmax(teacher, -1), reduction="batchmean", log_target=True)
        loss.backward()
        adam.step()
        losses.append(loss.item())
        times.append(1000 * (time.perf_counter() - started))
    return {"step": times[protocol["warmups"]:], "losses": losses}


if job["kind"] == "train":
    outcome = time_training()
else:
    with torch.inference_mode():
        outcome = write_logits() if job["kind"] == "logits" else time_decoding()
print(json.dumps({"status": "measured", "info": f"PyTorch {torch.__version__}, {blas()}, {job['variant']}", **outcome}))
