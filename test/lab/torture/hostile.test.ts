/**
 * The short form of `npm run torture`: some hostile folders, tokenizers and heads, each of which succeeds or is refused
 * with an error of this library, in bounded time, and leaves the device as it was.
 */
import { test } from "../../support/property.js";
import { loadModel } from "early-exits";
import { memorySource } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { afterAll, describe } from "vitest";
import { filesOf, hostileFolder, useFolder } from "../../../lab/torture/hostile-folders.js";
import { hostileHeads, soundHeads, useHeads } from "../../../lab/torture/hostile-heads.js";
import { hostileTokenizer, useTokenizer } from "../../../lab/torture/hostile-tokenizers.js";
import { judge } from "../../../lab/torture/judge.js";
import { smallCheckpoint, smallConfigs } from "../../support/models.js";

/** Other tests share the processor here; the long form judges by one second. */
const PATIENT = { limit: 4000 };
const runs = (name: string, fallback: number) => {
  const scale = Number(process.env["TORTURE_SCALE"] ?? 1);
  const seed = process.env["TORTURE_SEED"];
  return { numRuns: Math.ceil(fallback * scale), ...(seed !== undefined && { seed: Number(seed) + name.length }) };
};

const device = await createDevice("wasm", { threads: 1 });
const used = () => device.memory!().used;
const config = smallConfigs["llama"]!;
const model = await loadModel(config, memorySource(await smallCheckpoint(config)), { device });
afterAll(() => device.dispose());

describe("a hostile", () => {
  test.prop([hostileFolder], runs("folder", 60))("folder loads or is refused", async (hostile) => {
    const files = await filesOf(hostile);
    await judge(() => useFolder(files, device), { ...PATIENT, used });
  });

  test.prop([hostileTokenizer], runs("tokenizer", 60))("tokenizer encodes or is refused", (hostile) =>
    judge(() => useTokenizer(hostile), PATIENT),
  );

  test.prop([hostileHeads], runs("heads", 100))("folder of heads loads or is refused", async (hostile) => {
    await soundHeads(hostile.pair, model);
    await judge(() => useHeads(hostile, model), { ...PATIENT, used });
  });
});
