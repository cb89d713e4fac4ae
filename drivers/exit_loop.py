"""Decodes greedily with the graphs of an export. See "loop" in exits.json.

Exact fills are done lazily: the states of tokens that left early wait at the graph where they stopped, and run along
when a later token goes there. `run(graph, feeds, outputs)` runs one graph on numpy arrays and returns a dict.
"""
import numpy as np


class ExitDecoder:
    def __init__(self, manifest, run):
        self.manifest = manifest
        self.run = run

    def generate(self, prompt, max_new_tokens=64, exits=True, stop_at_end_of_text=True):
        """Yields (id, depth, exit, score); exit and score are None where a token ran all blocks."""
        model = self.manifest["model"]
        text = self._begin()
        if len(prompt) > 1:
            self._next(text, prompt[:-1], exits=False)
        newest = prompt[-1]
        for _ in range(max_new_tokens):
            if text["length"] >= model["maxPositionEmbeddings"]:
                return
            token = self._next(text, [newest], exits)
            yield token
            newest = token[0]
            if stop_at_end_of_text and newest in model["eosTokenIds"]:
                return

    def _begin(self):
        model, stretches = self.manifest["model"], self.manifest["stretches"]
        empty = np.zeros((model["numKvHeads"], 1, 0, model["headDim"]), np.float32)
        caches = {layer: (empty, empty) for stretch in stretches for layer in stretch["caches"]}
        return {"length": 0, "caches": caches, "waiting": self._nothing()}

    def _nothing(self):
        states = np.zeros((0, self.manifest["model"]["hiddenSize"]), np.float32)
        return [states for _ in self.manifest["stretches"]]

    def _next(self, text, ids, exits):
        """Appends ids and runs graph after graph, until an exit lets the newest one leave."""
        stretches, layers = self.manifest["stretches"], self.manifest["model"]["numLayers"]
        text["length"] += len(ids)
        rows = np.array(ids, np.int64)
        for k, stretch in enumerate(stretches):
            exit_ = stretch.get("exit")
            wanted = ["token"] if exit_ is None else ["next_state", "token", "score"]
            text["waiting"][k] = self._nothing()[0]
            results = self._run(text, stretch["graph"], "ids" if k == 0 else "state", rows, stretch, wanted)
            token = int(results["token"][0])
            if exit_ is None:
                return token, layers, None, None
            states = results["next_state"]
            if stretches[k + 1]["newestRow"]:
                rows = states[-1:]
            else:
                rows = np.concatenate([text["waiting"][k + 1], states])
            text["waiting"][k + 1] = rows
            score = float(results["score"][0])
            if not exits or not self._passes(score, exit_["threshold"]):
                continue
            if "fill" in exit_:
                text["waiting"] = self._nothing()
                self._run(text, exit_["fill"]["graph"], "state", states[-1:], exit_["fill"], [])
            return token, exit_["depth"], exit_["index"], score

    def _run(self, text, graph, name, rows, stretch, wanted):
        """Runs a graph on rows that end with the newest position; keeps the keys and values that it returns."""
        feeds = {name: rows}
        if stretch["positions"]:
            feeds["positions"] = np.arange(text["length"] - len(rows), text["length"], dtype=np.int64)
        for prefix, layers in (("past", stretch["caches"]), ("seen", stretch.get("reads", []))):
            for layer in layers:
                feeds[f"{prefix}_key_{layer}"], feeds[f"{prefix}_value_{layer}"] = text["caches"][layer]
        present = [f"present_{kind}_{layer}" for layer in stretch["caches"] for kind in ("key", "value")]
        results = self.run(graph, feeds, wanted + present)
        for layer in stretch["caches"]:
            text["caches"][layer] = (results[f"present_key_{layer}"], results[f"present_value_{layer}"])
        return results

    def _passes(self, score, threshold):
        if threshold == "always":
            return True
        return score <= threshold if self.manifest["score"]["leaves"] == "low" else score >= threshold
