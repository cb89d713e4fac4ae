/** Writes the model into the work folder in every format that a peer reads. It takes seconds, so every run does it. */
import { writeFileAtomic } from "early-exits/node";
import { join } from "node:path";
import { ggufTypes } from "../configurations.js";
import { makeGguf } from "./make-gguf.js";
import { makeModel } from "./make-model.js";
import { attentionForms, makeOnnx } from "./make-onnx.js";

export async function prepare(folder: string, seed: number): Promise<void> {
  const weights = await makeModel(folder, seed);
  for (const form of attentionForms) await writeFileAtomic(join(folder, `${form}.onnx`), makeOnnx(weights, form));
  for (const type of ggufTypes) await writeFileAtomic(join(folder, `${type}.gguf`), makeGguf(weights, type));
}
