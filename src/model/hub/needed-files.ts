/**
 * Files that a model needs. Repositories often contain the same weights in several formats (PyTorch, TFLite, ONNX, a
 * dozen GGUF files); one is downloaded, by preference:
 *
 *   model.safetensors; model.safetensors.index.json and its shards; the GGUF model, if there is only one
 *
 * Configuration, tokenizer and chat template come with safetensors. Names of shards come from the server, so `shardsOf`
 * accepts only plain file names.
 */
import { HubError } from "../../errors.js";
import { type HubName, isGguf } from "./hub-name.js";

export interface NeededFiles {
  /** Files in the order of downloading, without the index's shards. */
  readonly files: readonly string[];
  /** Index of shards for `shardsOf`. */
  readonly index?: string;
  readonly gguf?: string;
}

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const TOKENIZER = "tokenizer.json";
const OPTIONAL = ["generation_config.json", TOKENIZER, "tokenizer_config.json", "chat_template.jinja"];

/** Throws a HubError if the repository contains no model, or several GGUF models. */
export function neededFiles({ repo, file }: HubName, listing: readonly string[]): NeededFiles {
  const has = new Set(listing);
  if (file !== undefined) return ggufFiles(repo, file, has);
  const weights = [WEIGHTS, INDEX].find((name) => has.has(name));
  if (weights === undefined) return onlyGguf(repo, listing, has);
  if (!has.has(CONFIG)) {
    throw new HubError("hub-no-model", `${repo}: has ${weights} but no ${CONFIG}; expected both`, {
      repo,
    });
  }
  const files = [CONFIG, ...OPTIONAL.filter((name) => has.has(name)), weights];
  return weights === INDEX ? { files, index: INDEX } : { files };
}

/** Tokenizer only. A repository without tokenizer.json has it, if at all, in its GGUF model. */
export function tokenizerFiles(name: HubName, listing: readonly string[]): NeededFiles {
  if (name.file !== undefined || !listing.includes(TOKENIZER)) return neededFiles(name, listing);
  return { files: OPTIONAL.slice(1).filter((file) => listing.includes(file)) };
}

/** Throws a HubError `hub-unsafe-name` if a name could lead out of the folder. */
export function shardsOf(repo: string, index: unknown): readonly string[] {
  const map = typeof index === "object" && index !== null && "weight_map" in index ? index.weight_map : undefined;
  const shards = [...new Set(Object.values(map ?? {}) as unknown[])];
  for (const shard of shards) {
    if (typeof shard !== "string" || !/^\w[\w.-]*\.safetensors$/.test(shard)) {
      throw new HubError(
        "hub-unsafe-name",
        `${repo}: ${INDEX} names the shard ${JSON.stringify(shard)}; expected a plain file name ending in ` +
          ".safetensors. Nothing was written under that name",
        { repo, shard },
      );
    }
  }
  if (shards.length === 0) {
    throw new HubError("hub-no-model", `${repo}: ${INDEX} names no shard; expected "weight_map"`, { repo });
  }
  return shards as string[];
}

/** Adds the other files of a split model. */
function ggufFiles(repo: string, file: string, has: ReadonlySet<string>): NeededFiles {
  const [, stem, , total] = SPLIT.exec(file) ?? [];
  const parts = stem === undefined ? [file] : [...has].filter((name) => isPartOf(name, stem, total!)).sort();
  if (!has.has(file) || (stem !== undefined && parts.length !== Number(total))) {
    const models = ggufModels([...has]);
    const found =
      stem !== undefined && has.has(file) ? `${parts.length} of its ${Number(total)} parts` : "no such file";
    throw new HubError(
      "hub-not-found",
      `${repo}/${file}: found ${found}; ` +
        (models.length === 0 ? "the repository holds no GGUF file" : `the repository holds ${listed(models)}`),
      { repo, file },
    );
  }
  return { files: parts, gguf: parts[0]! };
}

function onlyGguf(repo: string, listing: readonly string[], has: ReadonlySet<string>): NeededFiles {
  const models = ggufModels(listing);
  if (models.length === 1) return ggufFiles(repo, models[0]!, has);
  if (models.length === 0) {
    const other = listing.filter((name) => /\.(?:bin|pt|pth|h5|msgpack|onnx|safetensors)$/.test(name));
    throw new HubError(
      "hub-no-model",
      `${repo}: holds neither model.safetensors nor a GGUF file` +
        (other.length === 0 ? "" : `, but ${listed(other)}; convert the checkpoint to safetensors first`),
      { repo },
    );
  }
  throw new HubError(
    "hub-ambiguous",
    `${repo}: holds ${models.length} GGUF models; name one of them, as in ${repo}/${models[0]!} (${listed(models)})`,
    { repo, models },
  );
}

const SPLIT = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

function isPartOf(name: string, stem: string, total: string): boolean {
  const [, other, , count] = SPLIT.exec(name) ?? [];
  return other === stem && count === total;
}

/** First files of GGUF models. Projectors of vision models ("mmproj") do not count. */
function ggufModels(listing: readonly string[]): string[] {
  return listing.filter(
    (name) => isGguf(name) && !/(?:^|\/)mmproj/i.test(name) && (SPLIT.exec(name)?.[2] ?? "00001") === "00001",
  );
}

function listed(names: readonly string[]): string {
  const rest = names.length - 6;
  return names.slice(0, 6).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
