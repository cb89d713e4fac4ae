/**
 * The models in models/ with their documents, heads and certificates, as figures and benchmarks use them. They run on
 * one thread of the wasm device unless another device is given.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Certificate, Device, ExitHeads, Model } from "early-exits";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";

type ModelName = "sotu-6" | "sotu-12";

/** The folder of a model. */
export function modelFolder(name: ModelName): string {
  return fileURLToPath(new URL(`../../models/${name}`, import.meta.url));
}

export async function openModel(name: ModelName, device?: Device): Promise<Model> {
  return readModel(modelFolder(name), { device: device ?? (await createDevice("wasm")) });
}

/** sotu-12 with the heads that come with it. */
export async function openHeads(): Promise<ExitHeads> {
  return readHeads(join(modelFolder("sotu-12"), "heads"), await openModel("sotu-12"));
}

/**
 * Texts of segments; the model was trained on speeches of `train`, certificates come from speeches of `calibration`.
 */
export type Parts = Readonly<Record<"train" | "calibration" | "test", readonly string[]>>;

/** The documents.json of a model folder. */
export async function readDocuments(folder: string): Promise<Parts> {
  const parts = (await readJson(join(folder, "documents.json"))) as Record<
    keyof Parts,
    readonly { readonly text: string }[]
  >;
  const texts = (part: keyof Parts): string[] => parts[part].map(({ text }) => text);
  return { train: texts("train"), calibration: texts("calibration"), test: texts("test") };
}

export async function documentsOf(name: ModelName, part: keyof Parts): Promise<readonly string[]> {
  return (await readDocuments(modelFolder(name)))[part];
}

/** Agreements, in percent, for which sotu-12's heads come certified. */
export const levels = [99, 95, 90, 80] as const;
export type Level = (typeof levels)[number];

/** A certificate of sotu-12's heads, which contains its policy. */
export async function shippedCertificate(level: Level): Promise<Certificate> {
  return (await readJson(join(modelFolder("sotu-12"), `certificates/${level}.json`))) as Certificate;
}
