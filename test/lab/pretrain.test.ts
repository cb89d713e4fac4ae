/** Pretraining: the folder it writes, and interrupted runs that resume bit for bit. */
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { createReferenceDevice, parseSafetensors } from "early-exits/tensor";
import { readModel } from "early-exits/node";
import { pretrainFolder, pretrainText } from "../../lab/ship/pretrain-folder.js";
import { interruptedAt, pretrainTiny, scratch, sentences, testIo, tinyModel, writeText } from "../cli/support.js";

const folder = scratch();
const text = writeText(folder.path("text.txt"), sentences(60));
const recipe = { steps: 24, lr: 0.01 };
const straight = { ...recipe, out: folder.path("straight") };
const again = { ...recipe, out: folder.path("again") };
const report = await pretrainFolder(await pretrainText(text, 1), { ...tinyModel, ...straight }, testIo());

const read = (...parts: readonly string[]): Buffer => readFileSync(folder.path(...parts));
const logOf = (run: string): { readonly step: number; readonly loss: number; readonly validationLoss?: number }[] =>
  JSON.parse(`[${read(run, "training-log.jsonl").toString().trim().replaceAll("\n", ",")}]`) as ReturnType<
    typeof logOf
  >;

it("writes a Hugging Face folder in bfloat16 that loads and predicts", async () => {
  const weights = parseSafetensors(read("straight", "model.safetensors"));
  expect(weights.names.every((name) => weights.info(name).dtype === "BF16")).toBe(true);
  expect(JSON.parse(read("straight", "config.json").toString())).toMatchObject({
    model_type: "llama",
    torch_dtype: "bfloat16",
    tie_word_embeddings: true,
    num_hidden_layers: 3,
  });
  const model = await readModel(folder.path("straight"), { device: createReferenceDevice() });
  expect(model.tokenizer.decode(model.tokenizer.encode("the house holds"))).toBe("the house holds");
  expect((await model.logits([1, 2, 3])).length).toBe(3 * model.config.vocabSize);
  expect(existsSync(folder.path("straight", "checkpoint"))).toBe(false);
});

it("reports data, options and losses, and logs a falling loss as JSON lines", () => {
  expect(report).toMatchObject({
    format: "early-exits/pretraining",
    version: 1,
    device: "reference",
    options: { layers: 3, steps: 24 },
    tokensSeen: 24 * 4 * 32,
  });
  expect(report).toEqual(JSON.parse(read("straight", "training.json").toString()));
  const log = logOf("straight");
  expect(log.map(({ step }) => step)).toEqual([1, 10, 20, 24]);
  expect(log.at(-1)!.loss).toBeLessThan(log[0]!.loss);
  expect(log.at(-1)!.validationLoss).toBeTypeOf("number");
});

it("overwrites a finished model only with --force", () =>
  expect(pretrainTiny(text, straight)).rejects.toThrow(/model\.safetensors: .* finished work, .* --force/));

it("keeps its state on an interrupt, refuses to overwrite it, and resumes bit for bit", async () => {
  const interrupted = pretrainTiny(text, again, interruptedAt("pretrain 9/24"));
  await expect(interrupted).rejects.toThrow("interrupted; the state is in");
  expect(parseSafetensors(read("again", "checkpoint", "state.safetensors")).metadata["step"]).toBe("9");
  expect(existsSync(folder.path("again", "model.safetensors"))).toBe(false);

  await expect(pretrainTiny(text, again)).rejects.toThrow("--resume");
  await expect(pretrainTiny(text, { ...again, resume: true, lr: 0.02 })).rejects.toThrow(
    "started with lr 0.01, now it is 0.02",
  );
  const other = writeText(folder.path("other.txt"), sentences(50));
  await expect(pretrainTiny(other, { ...again, resume: true })).rejects.toThrow("on another text");

  // Options come from the checkpoint.
  const bare = { out: again.out, resume: true, device: "reference" };
  await pretrainFolder(await pretrainText(text, 1), bare, testIo());
  expect(read("again", "model.safetensors")).toEqual(read("straight", "model.safetensors"));
  expect(logOf("again").map(({ step }) => step)).toEqual([1, 10, 20, 24]);
});

it("takes a tokenizer instead of training one", async () => {
  const tokenizer = folder.path("straight", "tokenizer.json");
  await pretrainTiny(text, { out: folder.path("given"), steps: 1, tokenizer });
  expect(read("given", "tokenizer.json")).toEqual(read("straight", "tokenizer.json"));
});
