/** Models that come with the package, by name, and their exits, by the model's hash. */
import { readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, extname, join } from "node:path";
import { type Certificate, EarlyExitError, type Model } from "early-exits";
import { isExactFill } from "early-exits/exits";
import { describeSampling, type SamplingOptions, type StoredAs } from "early-exits/model";
import { fileExists, readJson } from "early-exits/node";

export const shippedFolder = join(createRequire(import.meta.url).resolve("early-exits/package.json"), "../models");

async function shippedModels(): Promise<string[]> {
  const names = (await readdir(shippedFolder)).toSorted();
  const there = await Promise.all(names.map((name) => fileExists(join(shippedFolder, name, "config.json"))));
  return names.filter((_, i) => there[i]);
}

/**
 * Checks what a user gives as a model, before anything is read. A shipped model's name is its folder, unless a path has
 * that name; names of the Hub stay as they are. Throws an EarlyExitError that says what to give instead.
 */
export async function modelPath(name: string, isHubName: (name: string) => boolean): Promise<string> {
  const found = await stat(name).catch(() => undefined);
  if (found?.isDirectory() === true) return requireModelFolder(name);
  if (found !== undefined) return requireModelFile(name);
  if (name.startsWith("hub:")) return name;
  const shipped = await shippedModels();
  if (shipped.includes(name)) return join(shippedFolder, name);
  if (isHubName(name)) return name;
  throw new EarlyExitError(
    "model-missing",
    `${name}: there is no such file or folder. A model is a folder with config.json, *.safetensors and ` +
      "tokenizer.json, a .gguf file, a name of the Hub such as HuggingFaceTB/SmolLM2-135M-Instruct, or the name " +
      `of a model that comes with this package: ${shipped.join(", ")}`,
    { path: name },
  );
}

function requireModelFile(path: string): string {
  if (extname(path).toLowerCase() === ".gguf") return path;
  const folder = /\.(safetensors|json|bin)$/.test(path) ? "; give the folder that it is in" : "";
  throw new EarlyExitError(
    "model-file",
    `${path}: is no model. A model is a .gguf file, or a folder with config.json and *.safetensors${folder}`,
    { path },
  );
}

async function requireModelFolder(path: string): Promise<string> {
  const names = await readdir(path);
  const weights = names.filter((name) => /\.(bin|pth?|ckpt|h5|msgpack)$/.test(name));
  if (names.some((name) => name.includes(".safetensors"))) return path;
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) {
    throw new EarlyExitError("model-gguf", `${path}: holds GGUF files; name the file, as in ${join(path, gguf)}`, {
      path,
    });
  }
  if (weights.length > 0) {
    throw new EarlyExitError(
      "weights-format",
      `${path}: its weights are in ${weights[0]!}, a format of other libraries, and there is no *.safetensors. ` +
        "Look for a copy of the model with model.safetensors or a GGUF file, or convert it: in transformers, " +
        'AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained("converted", safe_serialization=True)',
      { path, weights },
    );
  }
  if (names.includes("config.json")) return path; // the reader says which weights it expects
  const heads = names.includes("heads.json") ? ` ${basename(path)} holds heads: pass it as --heads.` : "";
  throw new EarlyExitError(
    "config-missing",
    `${path}: no config.json; expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json) or a ` +
      `GGUF file.${heads}`,
    { path },
  );
}

export interface ShippedExits {
  readonly name: string;
  readonly heads: string;
  /**
   * Still to be opened (`checkCertificate`). Usual dtype first; of a dtype the strictest first, of a level exact fills
   * first.
   */
  readonly certificates: readonly Certificate[];
}

/** Certificates for this storage, otherwise those for the usual dtype; all of them for text by these settings. */
export function certificatesFor(
  { certificates }: ShippedExits,
  storedAs: StoredAs,
  sampling: SamplingOptions = {},
): readonly Certificate[] {
  const [usual] = certificates;
  const of = (dtype: StoredAs | undefined): readonly Certificate[] =>
    certificates.filter((one) => one.policy.certified?.dtype === dtype && isFor(one, sampling));
  const own = of(storedAs);
  return own.length > 0 ? own : of(usual?.policy.certified?.dtype);
}

const isFor = (certificate: Certificate, sampling: SamplingOptions): boolean =>
  describeSampling(certificate.sampling) === describeSampling(sampling);

/** The levels by text: "greedy 0.99, 0.95; temperature 0.8, topP 0.95: 0.9". */
export function certifiedTexts({ certificates }: ShippedExits): string {
  const texts = new Map<string, Set<number>>();
  for (const { sampling, agreement } of certificates) {
    const text = describeSampling(sampling);
    texts.set(text, (texts.get(text) ?? new Set()).add(agreement));
  }
  return Array.from(texts, ([text, levels]) => `${text}: ${[...levels].join(", ")}`).join("; ");
}

/**
 * Exits for a model, in a folder of folders by model; undefined if there are none. `certificates` are for greedy text
 * and the model's usual dtype; other dtypes and sampled text may have folders of their own.
 */
export async function findShippedExits(
  model: Pick<Model, "hash">,
  folder = shippedFolder,
): Promise<ShippedExits | undefined> {
  const hash = await model.hash();
  for (const name of (await readdir(folder)).toSorted()) {
    const heads = join(folder, name, "heads");
    if (!(await fileExists(join(heads, "heads.json")))) continue;
    const { modelHash } = (await readJson(join(heads, "heads.json"))) as { readonly modelHash?: unknown };
    if (modelHash !== hash) continue;
    const certificates = join(folder, name, "certificates");
    const files = (await readdir(certificates, { recursive: true })).filter((file) => file.endsWith(".json"));
    const read = await Promise.all(
      files.map(async (file) => ({
        certificate: (await readJson(join(certificates, file))) as Certificate,
        isDeeper: file !== basename(file),
      })),
    );
    const sorted = read.toSorted(
      (a, b) => Number(a.isDeeper) - Number(b.isDeeper) || strictestFirst(a.certificate, b.certificate),
    );
    return { name, heads, certificates: sorted.map(({ certificate }) => certificate) };
  }
  return undefined;
}

/** Levels at which exits of the package are certified for a model's text, in any dtype, the strictest first. */
export async function shippedLevels(
  model: Pick<Model, "hash">,
  sampling: SamplingOptions = {},
): Promise<readonly number[]> {
  const { certificates = [] } = (await findShippedExits(model)) ?? {};
  return [...new Set(certificates.filter((one) => isFor(one, sampling)).map(({ agreement }) => agreement))];
}

function strictestFirst(one: Certificate, other: Certificate): number {
  const exact = ({ policy }: Certificate): number => Number(isExactFill(policy.fill));
  return other.agreement - one.agreement || exact(other) - exact(one);
}
