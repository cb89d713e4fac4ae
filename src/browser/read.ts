/** Models, heads and policies from all the places where a browser finds files. */
import { policyFrom } from "../calibrate/index.js";
import { PolicyError } from "../errors.js";
import type { ExitHeads } from "../exits/heads/exit-heads.js";
import { loadHeads } from "../exits/heads/deserialize-heads.js";
import type { Policy } from "../exits/plan/policy.js";
import { fileJson, loadFolder } from "../model/files/folder.js";
import type { LoadModelOptions, Model } from "../model/index.js";
import { type FilesSource, folderOf } from "./folders.js";
import { ggufFiles } from "./gguf-files.js";

/**
 * Loads a Hugging Face folder or a GGUF file (all parts, if split). Throws a ModelError or a GgufError that names what
 * is missing or does not fit.
 */
export async function readModel(source: FilesSource, options: LoadModelOptions): Promise<Model> {
  const gguf = await ggufFiles(source);
  if (gguf !== undefined) {
    const { loadGguf } = await import("../model/gguf/load-gguf.js"); // pages that read folders do not load it
    return loadGguf(gguf.file, options, gguf.openSibling);
  }
  return loadFolder(await folderOf(source, "config.json"), options);
}

/**
 * Reads heads.json and heads.safetensors, in the folder or below. Throws a HeadsError if they belong to another model.
 */
export async function readHeads(source: FilesSource, model: Model): Promise<ExitHeads> {
  return loadHeads(await folderOf(source, "heads.json"), model);
}

export interface ReadPolicyOptions {
  /** The file's name. @default "policy.json" */
  readonly name?: string;
}

/** Reads a policy, also from a calibration file. Throws a PolicyError if it is missing or malformed. */
export async function readPolicy(
  source: FilesSource,
  { name = "policy.json" }: ReadPolicyOptions = {},
): Promise<Policy> {
  const folder = await folderOf(source, name);
  const file = await folder.open(name);
  if (file === undefined) {
    throw new PolicyError("policy-missing", `${folder.path}: no ${name}; expected the file that calibration wrote`, {
      name,
    });
  }
  return policyFrom(await fileJson(file, { limit: "tokenizerBytes" }));
}
