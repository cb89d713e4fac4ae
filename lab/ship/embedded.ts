/**
 * The models in models/, with their documents, heads and certificates, as figures use them: one thread of the wasm
 * device unless told.
 */
import { fileURLToPath } from "node:url";
import type { Certificate, Device, ExitHeads, Model } from "early-exits";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";

const folderOf = (name: string): string => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

export type ModelName = "sotu-6" | "sotu-12";

export async function openModel(name: ModelName, device?: Device): Promise<Model> {
  return readModel(folderOf(name), { device: device ?? (await createDevice("wasm")) });
}

/** sotu-12 with the heads that come with it. */
export async function openHeads(): Promise<ExitHeads> {
  return readHeads(`${folderOf("sotu-12")}/heads`, await openModel("sotu-12"));
}

/** Texts of speeches: the model was trained on those of `train`, certificates were made from those of `calibration`. */
export async function documentsOf(name: ModelName, part: "train" | "calibration" | "test"): Promise<string[]> {
  const parts = (await readJson(`${folderOf(name)}/documents.json`)) as Record<
    string,
    readonly { readonly text: string }[]
  >;
  return parts[part]!.map(({ text }) => text);
}

/** Agreements, in percent, that sotu-12's heads come certified for. */
export const levels = [99, 95, 90, 80] as const;
export type Level = (typeof levels)[number];

/** What was certified of sotu-12's heads; the policy is in it. */
export async function shippedCertificate(level: Level): Promise<Certificate> {
  return (await readJson(`${folderOf("sotu-12")}/certificates/${level}.json`)) as Certificate;
}
