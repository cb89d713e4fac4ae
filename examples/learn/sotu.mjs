/** Shared by the programs: the models that come with the package, heads of one of them, and their speeches. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readHeads, readModel } from "early-exits/node";

const folderOf = (name) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

/** "sotu-6" or "sotu-12". */
export function openModel(name) {
  return readModel(folderOf(name), { device: "wasm" });
}

/** The model and the heads that come with it. Its upper blocks share keys and values, so its exact fill is "shared". */
export async function openSotu() {
  const model = await openModel("sotu-12");
  return { model, heads: await readHeads(`${folderOf("sotu-12")}/heads`, model) };
}

/** Texts of one part: "train", "calibration" or "test". */
export async function speeches(part, count) {
  const parts = JSON.parse(await readFile(`${folderOf("sotu-12")}/documents.json`, "utf8"));
  return parts[part].slice(0, count).map(({ text }) => text);
}

/** Runs a generation to its end. */
export async function finish(generation) {
  for await (const token of generation) void token;
  return generation.summary;
}
