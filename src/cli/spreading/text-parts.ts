/** Parts of `generate --prompts`: lines of text. */
import { createHash } from "node:crypto";
import { ExitHeads } from "../../index.js";
import type { PartSet } from "../../node/parts/index.js";
import type { PromptLine } from "../../node/index.js";
import { type Decoding, TEXTS_TOGETHER, writeTexts } from "../generation/index.js";
import type { Io } from "../io.js";
import { type PartPlace, writeRound } from "./shard-options.js";

/** Writes a shard's part. */
export async function writeTextPart(
  io: Io,
  place: PartPlace,
  decoding: Decoding,
  prompts: readonly PromptLine[],
): Promise<void> {
  const run = { command: "generate", round: "texts", units: prompts.length, chunk: TEXTS_TOGETHER };
  await writeRound(io, place, { ...run, made: await describe(decoding, prompts) }, async (units) => {
    const asked = units.map((unit) => prompts[unit]!);
    return new TextEncoder().encode((await writeTexts(decoding, asked, units[0]!, io.signal)).join(""));
  });
}

/** What the texts are a function of. */
async function describe({ source, model, options }: Decoding, prompts: readonly PromptLine[]): Promise<unknown> {
  const hash = createHash("sha256");
  for (const { ids } of prompts) hash.update(ids.join(",")).update("\f");
  return {
    prompts: { count: prompts.length, hash: hash.digest("hex") },
    modelHash: await model.hash(),
    headsHash: source instanceof ExitHeads ? await source.hash() : null,
    dtype: model.storedAs,
    backend: model.device.backend,
    kernelBuild: model.device.info.kernelBuild ?? null,
    options,
  };
}

/** All lines, in the order of the prompts. */
export async function readTexts(parts: PartSet): Promise<string[]> {
  const lines = new Array<string>(parts.run.units);
  for await (const { units, bytes } of parts.chunks()) {
    const texts = new TextDecoder().decode(bytes).split("\n");
    for (const [i, unit] of units.entries()) lines[unit] = `${texts[i]!}\n`;
  }
  return lines;
}
