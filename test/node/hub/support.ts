/** A small model on a fake Hub, and an empty cache. */
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubOptions, resolveModel } from "early-exits/node";
import { type FakeRepo, startFakeHub } from "./fake-hub.js";

export const golden = "test/golden/llama-tiny-bf16-sharded";
export const modelFiles = [
  "config.json",
  "model.safetensors.index.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
] as const;

/** A model with golden numbers, and files that it does not need. */
export const tinyRepo: FakeRepo = {
  files: {
    "README.md": new TextEncoder().encode("# A model"),
    "pytorch_model.bin": new Uint8Array(1000),
    ...Object.fromEntries(modelFiles.map((name) => [name, new Uint8Array(readFileSync(join(golden, name)))])),
  },
};

const config = JSON.parse(readFileSync(join(golden, "config.json"), "utf8")) as object;
/** Announces more than any device holds. */
export const largeRepo: FakeRepo = {
  files: { ...tinyRepo.files, "config.json": Buffer.from(JSON.stringify({ ...config, intermediate_size: 2 ** 26 })) },
};

export type Workbench = Awaited<ReturnType<typeof openWorkbench>>;

export async function openWorkbench(repos: Record<string, FakeRepo> = { "org/tiny": tinyRepo }) {
  const hub = await startFakeHub(repos);
  const cache = await mkdtemp(join(tmpdir(), "early-exits-hub-"));
  const options = { endpoint: hub.url, cache, backoff: 1, token: "" };
  return {
    hub,
    cache,
    /** The hub and the cache, without pauses. */
    options,
    /** A model of this hub in this cache. */
    resolve: (name = "org/tiny", more: HubOptions = {}) => resolveModel(name, { ...options, ...more }),
    /** Files below the folder of a repository in the cache. */
    cached: async (repo: string) =>
      (await readdir(join(cache, `models--${repo.replace("/", "--")}`), { recursive: true, withFileTypes: true }))
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).split(`models--${repo.replace("/", "--")}/`)[1]!)
        .sort(),
    /** Requests for file contents. */
    downloads: () =>
      hub.seen.flatMap(({ at, path }) =>
        !path.startsWith("/api") && (at === "cdn" || !/\.(?:safetensors|gguf)$/.test(path))
          ? [path.split("/").at(-1)!]
          : [],
      ),
    async close() {
      await hub.close();
      await rm(cache, { recursive: true, force: true });
    },
  };
}
