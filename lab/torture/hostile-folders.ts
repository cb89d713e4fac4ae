/**
 * Hostile model folders. A sound folder, of any family, single or sharded, is changed in one or two places: a field of
 * a JSON file, bytes of any file, a missing or empty file, a file that is a bomb. It must load and write two tokens, or
 * be refused.
 */
import fc from "fast-check";
import { type Device, generate } from "early-exits";
import { loadFolder } from "../../src/model/files/folder.js";
import { memorySource, type Model, trainByteLevelBpe } from "early-exits/model";
import { serializeSafetensors } from "../../src/tensor/formats/serialize-safetensors.js";
import { smallCheckpoint, smallConfigs } from "../../test/support/models.js";
import { type Bomb, bomb, bombFile } from "./bombs.js";
import { encodeJson, type Files, memoryFolder } from "./memory-files.js";
import { type ByteChange, byteChange, changedBytes, changedJson, type JsonChange, jsonChange } from "./mutations.js";

/** One change of a folder. */
type Change =
  | { readonly kind: "json"; readonly file: string; readonly change: JsonChange }
  | { readonly kind: "bytes"; readonly file: string; readonly change: ByteChange }
  | { readonly kind: "missing"; readonly file: string }
  | { readonly kind: "empty"; readonly file: string }
  | { readonly kind: "bomb"; readonly file: string; readonly bomb: Bomb };

interface HostileFolder {
  /** A name in `smallConfigs`. */
  readonly config: string;
  readonly sharded: boolean;
  readonly changes: readonly Change[];
}

const JSON_FILES = [
  "config.json",
  "config.json",
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "generation_config.json",
  "model.safetensors.index.json",
] as const;
const FILES = [...JSON_FILES, "model.safetensors", "model-1.safetensors"] as const;

const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("json" as const),
      file: fc.constantFrom(...JSON_FILES),
      change: jsonChange,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("bytes" as const), file: fc.constantFrom(...FILES), change: byteChange }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("missing" as const, "empty" as const),
      file: fc.constantFrom(...FILES),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("bomb" as const), file: fc.constantFrom(...FILES), bomb }) },
);

export const hostileFolder: fc.Arbitrary<HostileFolder> = fc.record({
  config: fc.constantFrom(...Object.keys(smallConfigs)),
  sharded: fc.boolean(),
  changes: fc.array(change, { minLength: 1, maxLength: 2 }),
});

/** The files of a hostile folder. */
export async function filesOf({ config, sharded, changes }: HostileFolder): Promise<Files> {
  const files: Record<string, Uint8Array> = { ...(await soundFolder(config, sharded)) };
  for (const one of changes) {
    const before = files[one.file];
    if (one.kind === "missing") Reflect.deleteProperty(files, one.file);
    else if (one.kind === "empty") files[one.file] = new Uint8Array();
    else if (one.kind === "bomb") files[one.file] = bombFile(one.bomb);
    else if (before === undefined) continue;
    else if (one.kind === "bytes") files[one.file] = changedBytes(before, one.change);
    else {
      const json = parsed(before);
      if (json !== undefined) files[one.file] = encodeJson(changedJson(json, one.change));
    }
  }
  return files;
}

/** Undefined for what an earlier change has damaged. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** Loads a folder, writes two tokens, and frees the model. */
export async function useFolder(files: Files, device: Device): Promise<void> {
  const model: Model = await loadFolder(memoryFolder(files), { device });
  try {
    const prompt = model.hasTokenizer ? model.tokenizer.encode("a b").map((id) => id % model.config.vocabSize) : [];
    const ids = prompt.length === 0 ? [0] : prompt;
    for await (const token of generate(model, ids, { maxNewTokens: 2 })) {
      if (!Number.isInteger(token.id)) throw new Error(`token ${token.id}`);
    }
  } finally {
    model.dispose();
  }
}

const sound = new Map<string, Promise<Files>>();

function soundFolder(name: string, sharded: boolean): Promise<Files> {
  const key = `${name} ${sharded}`;
  const made = sound.get(key) ?? makeFolder(smallConfigs[name]!, sharded);
  sound.set(key, made);
  return made;
}

async function makeFolder(config: Readonly<Record<string, unknown>>, sharded: boolean): Promise<Files> {
  const checkpoint = await smallCheckpoint(config);
  return {
    "config.json": encodeJson(config),
    "generation_config.json": encodeJson({ eos_token_id: [3, 4], temperature: 1 }),
    "tokenizer.json": encodeJson(trainByteLevelBpe(["a b c a b"], { vocabSize: 260 })),
    "tokenizer_config.json": encodeJson({ bos_token: null, eos_token: "<|endoftext|>", add_bos_token: false }),
    ...(sharded ? await shardsOf(checkpoint) : { "model.safetensors": checkpoint }),
  };
}

/** The checkpoint in two files, and their index. */
async function shardsOf(checkpoint: Uint8Array): Promise<Files> {
  const source = memorySource(checkpoint);
  const names = [...source.tensors.keys()];
  const halves = [names.slice(0, names.length / 2), names.slice(names.length / 2)];
  const files: Record<string, Uint8Array> = {};
  const map: Record<string, string> = {};
  for (const [i, half] of halves.entries()) {
    const file = `model-${i + 1}.safetensors`;
    const tensors: Parameters<typeof serializeSafetensors>[0] = {};
    for (const name of half) {
      const { dtype, shape } = source.tensors.get(name)!;
      Object.assign(tensors, { [name]: { dtype, shape, data: await source.read(name) } });
      map[name] = file;
    }
    files[file] = serializeSafetensors(tensors);
  }
  return { ...files, "model.safetensors.index.json": encodeJson({ metadata: {}, weight_map: map }) };
}
