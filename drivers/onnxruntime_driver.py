"""Opens an export with Python's onnxruntime and decodes with it. It needs exit_loop.py beside it.

    pip install onnxruntime numpy
    python onnxruntime_driver.py FOLDER 464,2068,318 [NEW_TOKENS]      token ids, which a tokenizer makes of text
"""
import json
import sys
from pathlib import Path

import onnxruntime

from exit_loop import ExitDecoder


def open_export(folder, **options):
    """Opens an export's folder; `options` are those of onnxruntime.InferenceSession."""
    folder = Path(folder)
    manifest = json.loads((folder / "exits.json").read_text(encoding="utf-8"))
    graphs = [stretch["graph"] for stretch in manifest["stretches"]]
    fills = [stretch["exit"]["fill"] for stretch in manifest["stretches"] if "fill" in stretch.get("exit", {})]
    graphs += [fill["graph"] for fill in fills]
    sessions = {graph: onnxruntime.InferenceSession(str(folder / graph), **options) for graph in graphs}

    def run(graph, feeds, outputs):
        return dict(zip(outputs, sessions[graph].run(outputs, feeds)))

    return ExitDecoder(manifest, run)


if __name__ == "__main__":
    prompt = [int(token) for token in sys.argv[2].split(",")]
    new_tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    for token, depth, _exit, _score in open_export(sys.argv[1]).generate(prompt, new_tokens):
        print(f"{token}\tdepth {depth}")
