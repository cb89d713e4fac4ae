/** Shared by the six programs: the model that comes with the package, its heads, and its speeches. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createDevice, readHeads, readModel } from "early-exits/node";

const folder = fileURLToPath(new URL("../../models/sotu-12", import.meta.url));

/** The model and the heads that come with it. Its upper blocks share keys and values, so its exact fill is "shared". */
export async function openSotu() {
  const model = await readModel(folder, { device: await createDevice("wasm") });
  return { model, heads: await readHeads(`${folder}/heads`, model) };
}

/** Texts of one part: "train", "calibration" or "test". */
export async function speeches(part, count) {
  const parts = JSON.parse(await readFile(`${folder}/documents.json`, "utf8"));
  return parts[part].slice(0, count).map(({ text }) => text);
}

/** Runs a generation to its end. */
export async function finish(generation) {
  for await (const token of generation) void token;
  return generation.summary;
}
