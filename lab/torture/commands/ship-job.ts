/**
 * Shipping a model again, over an earlier shipment, as a job. Its certificates hold times, which differ from run to
 * run, so they are judged by what they are for: each fits the heads beside it, or is refused. A shipment that has ended
 * has one for every level.
 */
import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError, generate } from "early-exits";
import { policyFrom } from "early-exits/calibrate";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { type ShipData, shipFolder } from "../../ship/ship-folder.js";
import type { Job } from "./job.js";

const LEVELS = 4;
const DOCUMENTS = 6;

/** Makes the earlier shipment of `model` in `earlier`. */
export async function makeShipJob(model: string, earlier: string): Promise<Job> {
  await cp(model, earlier, { recursive: true });
  const first = await run(earlier, 1);
  if (!first.ok) throw new Error(`shipping does not work: ${first.said}`);
  return {
    name: "ship",
    run: (out) => run(out, 2),
    results: ["model.safetensors", "documents.json", "heads/heads.json", "heads/heads.safetensors"],
    read: (out) => check(out, false),
    before: earlier,
    repeats: true,
    check,
  };
}

async function run(folder: string, steps: number): ReturnType<Job["run"]> {
  const settings = { folder, exits: [1], kind: "dense", documents: DOCUMENTS, note: () => undefined } as const;
  try {
    await shipFolder({ ...settings, steps }, data);
    return { ok: true, said: "" };
  } catch (error) {
    return { ok: false, said: String(error) };
  }
}

const data: ShipData = (() => {
  const parts = (["train", "calibration", "test"] as const).map((part) => {
    const speeches = Array.from({ length: 8 }, (_, i) => ({
      title: `${part} ${i}`,
      text: `the house holds a river ${i} of ${part}. one people follows.`,
    }));
    return [part, speeches] as const;
  });
  const speeches = Object.fromEntries(parts) as unknown as ShipData["speeches"];
  const grouped = (part: "calibration" | "test"): ShipData["texts"]["test"] =>
    speeches[part].map(({ title, text }) => ({ group: title, text }));
  const texts = {
    train: speeches.train.map(({ text }) => text),
    calibration: grouped("calibration"),
    test: grouped("test"),
  };
  return { speeches, texts };
})();

/** Throws an Error, or the library's for what is damaged. */
async function check(folder: string, finished: boolean): Promise<void> {
  const device = await createDevice("reference");
  try {
    await readJson(join(folder, "documents.json"));
    const heads = await readHeads(join(folder, "heads"), await readModel(folder, { device }));
    const certificates = join(folder, "certificates");
    const names = (await readdir(certificates)).filter((name) => name.endsWith(".json"));
    if (finished && names.length !== LEVELS) throw new Error(`${names.length} of ${LEVELS} certificates are there`);
    for (const name of names) {
      const policy = policyFrom(await readJson(join(certificates, name)));
      try {
        await generate(heads, [1], { policy, maxNewTokens: 1, allowUncertified: true })[Symbol.asyncIterator]().next();
      } catch (error) {
        if (finished || !(error instanceof EarlyExitError)) throw error;
      }
    }
  } finally {
    await device.dispose();
  }
}
