/** Names of models resolve to paths: local ones, or paths in the cache that Hugging Face's tools share. */
import { mkdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createReferenceDevice } from "early-exits/tensor";
import { readJson, readModel, readTokenizer } from "early-exits/node";
import { type HubProgress } from "../../../src/node/hub/resolve-model.js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Golden } from "../../support/golden.js";
import { largestDifference } from "../../support/largest-difference.js";
import { COMMIT, gitSha1, sha256 } from "./fake-hub.js";
import { golden, largeRepo, modelFiles, openWorkbench, tinyRepo, type Workbench } from "./support.js";
import { expectCode } from "../../support/expect-code.js";
import { number } from "../../support/gguf/convert.js";
import { ggufModel } from "../../support/gguf/model.js";
import { sharedWasm } from "../../support/devices.js";

let bench: Workbench;
beforeEach(async () => void (bench = await openWorkbench()));
afterEach(async () => {
  vi.unstubAllEnvs();
  await bench.close();
});

describe("a local path", () => {
  it("that exists is returned as it is, even if it has the form of a name of the Hub", async () => {
    expect(await bench.resolve("test/golden")).toEqual({ path: "test/golden" });
    expect(bench.hub.seen).toEqual([]);
  });

  it("that does not exist is returned too, unless it has the form of a name of the Hub", async () => {
    for (const name of ["no/such/folder", "./no/such", "/no/such", "nothing"]) {
      expect(await bench.resolve(name)).toEqual({ path: name });
    }
  });

  it("is ignored if the name begins with hub:", () => expectCode(bench.resolve("hub:test/golden"), "hub-not-found"));
});

describe("a name of the Hub", () => {
  it("is downloaded, only the files that are needed, in the layout of huggingface_hub", async () => {
    const events: HubProgress[] = [];
    const onProgress = (event: HubProgress) => void events.push(event);
    const { path, hub } = await bench.resolve("org/tiny", { onProgress });
    expect(path).toBe(join(bench.cache, "models--org--tiny/snapshots", COMMIT));
    const bytes = modelFiles.reduce((sum, name) => sum + tinyRepo.files[name]!.length, 0);
    expect(hub).toEqual({
      repo: "org/tiny",
      revision: "main",
      commit: COMMIT,
      files: modelFiles,
      bytes,
      source: "hub",
    });

    const sumOf = (name: string) => (name.endsWith(".safetensors") ? sha256 : gitSha1)(tinyRepo.files[name]!);
    expect(await bench.cached("org/tiny")).toEqual(
      [
        "refs/main",
        ...modelFiles.map((name) => `blobs/${sumOf(name)}`),
        ...modelFiles.map((name) => `snapshots/${COMMIT}/${name}`),
      ].sort(),
    );
    expect(await readFile(join(bench.cache, "models--org--tiny/refs/main"), "utf8")).toBe(COMMIT);
    for (const name of modelFiles) {
      expect(await readlink(join(path, name))).toBe(`../../blobs/${sumOf(name)}`);
      expect(sha256(await readFile(join(path, name)))).toBe(sha256(tinyRepo.files[name]!));
      const ofFile = events.filter(({ file }) => file === name);
      const total = tinyRepo.files[name]!.length;
      expect(ofFile[0]).toEqual({ file: name, received: 0, total });
      expect(ofFile.at(-1)).toEqual({ file: name, received: total, total });
    }
    expect(events.map(({ file }) => file)).toEqual(
      events.map(({ file }) => file).toSorted((a, b) => order(a) - order(b)),
    );
  });
  const order = (file: string) => modelFiles.findIndex((name) => name === file);

  it("is loaded by readModel; environment variables set the endpoint and the cache", async () => {
    vi.stubEnv("HF_ENDPOINT", `${bench.hub.url}/`);
    vi.stubEnv("HF_HOME", bench.cache);
    vi.stubEnv("HF_HUB_CACHE", undefined);
    const { inputIds, logits } = (await readJson(join(golden, "golden.json"))) as Golden;
    const model = await readModel("org/tiny", { device: createReferenceDevice() });
    expect(largestDifference(await model.logits(inputIds), logits)).toBeLessThan(5e-4);
    expect(await readFile(join(bench.cache, "hub/models--org--tiny/refs/main"), "utf8")).toBe(COMMIT);
  });

  it("is refused before its weights are downloaded if they exceed the device, by config.json or GGUF", async () => {
    const device = await sharedWasm();
    const { files } = await ggufModel({ pairs: { "llama.feed_forward_length": number(2 ** 26) } });
    bench.hub.repos["org/large"] = largeRepo;
    bench.hub.repos["org/gguf"] = { files };
    const split = await ggufModel({ parts: 3, pairs: { "llama.feed_forward_length": number(2 ** 26) } });
    bench.hub.repos["org/split"] = {
      files: Object.fromEntries(Object.entries(split.files).map(([name, bytes]) => [`parts/${name}`, bytes])),
    };
    for (const name of ["org/large", "org/gguf", "org/split"]) {
      await expectCode(readModel(name, { device, hub: bench.options }), "model-too-large");
    }
    expect((await bench.cached("org/large")).filter((path) => path.startsWith("snapshots"))).toHaveLength(1);
    for (const name of ["org/gguf", "org/split"]) await expect(bench.cached(name)).rejects.toThrow(/ENOENT/);
  });

  it("gives its tokenizer without its weights, offline too once it is in the cache", async () => {
    const files = ["tokenizer.json", "tokenizer_config.json"];
    const own = Object.fromEntries(
      await Promise.all(files.map(async (name) => [name, new Uint8Array(await readFile(`models/sotu-6/${name}`))])),
    ) as Record<string, Uint8Array>;
    bench.hub.repos["org/words"] = { files: { ...tinyRepo.files, ...own } };
    const expected = (await readTokenizer("models/sotu-6"))!.encode("The state of the Union");
    expect((await readTokenizer("org/words", { hub: bench.options }))!.encode("The state of the Union")).toEqual(
      expected,
    );
    expect(bench.downloads()).toEqual(files);
    const offline = await readTokenizer("org/words", { hub: { ...bench.options, offline: true } });
    expect(offline!.encode("The state of the Union")).toEqual(expected);
    // What is in the cache is not taken for the whole model.
    await expectCode(bench.resolve("org/words", { offline: true }), "hub-offline");
  });

  it("takes one request if everything is in the cache", async () => {
    await bench.resolve();
    bench.hub.seen.length = 0;
    const events: HubProgress[] = [];
    await bench.resolve("org/tiny", { onProgress: (event) => events.push(event) });
    expect(bench.hub.seen.map(({ path }) => path)).toEqual(["/api/models/org/tiny/revision/main"]);
    expect(events.map(({ file, received, total }) => [file, received - total])).toEqual(modelFiles.map((f) => [f, 0]));
  });

  it("shares its blobs between revisions", async () => {
    await bench.resolve();
    bench.hub.repos["org/tiny"] = { ...tinyRepo, revisions: ["refs/pr/1"] };
    const { hub } = await bench.resolve("org/tiny@refs/pr/1");
    expect(hub).toMatchObject({ revision: "refs/pr/1", commit: COMMIT });
    expect(await readFile(join(bench.cache, "models--org--tiny/refs/refs/pr/1"), "utf8")).toBe(COMMIT);
    expect(bench.downloads()).toHaveLength(modelFiles.length);
  });

  it("uses the blobs of other tools", async () => {
    const shard = modelFiles[2];
    await mkdir(join(bench.cache, "models--org--tiny/blobs"), { recursive: true });
    const blob = join(bench.cache, "models--org--tiny/blobs", sha256(tinyRepo.files[shard]!));
    await writeFile(blob, tinyRepo.files[shard]!);
    await bench.resolve();
    expect(bench.downloads()).not.toContain(shard);
  });

  it("may be private: the token is sent to the Hub, never to the CDN", async () => {
    bench.hub.repos["org/tiny"] = { ...tinyRepo, token: "secret" };
    await bench.resolve("org/tiny", { token: "secret" });
    for (const { at, token } of bench.hub.seen) expect(token).toBe(at === "hub" ? "secret" : undefined);
    expect(bench.hub.seen.filter(({ at }) => at === "cdn")).toHaveLength(2);
  });

  it("may be the old name of a renamed repository", async () => {
    bench.hub.fault = ({ path }, response) => {
      if (!path.includes("old/name")) return false;
      response.writeHead(307, { location: path.replace("old/name", "org/tiny") }).end();
      return true;
    };
    const { path } = await bench.resolve("old/name");
    expect(path).toContain("models--old--name");
    expect(await bench.cached("old/name")).toHaveLength(9);
  });
});

describe("a GGUF file of the Hub", () => {
  const parts = ["q4/m-00001-of-00002.gguf", "q4/m-00002-of-00002.gguf"];
  const files = Object.fromEntries([...parts, "other.gguf"].map((name) => [name, new TextEncoder().encode(name)]));

  it("is downloaded with the other files of a split model beside it", async () => {
    bench.hub.repos["org/q"] = { files };
    const { path, hub } = await bench.resolve(`org/q/${parts[0]!}`);
    expect(path).toBe(join(bench.cache, "models--org--q/snapshots", COMMIT, parts[0]!));
    expect(hub!.files).toEqual(parts);
    expect(await readFile(path, "utf8")).toBe(parts[0]);
    expect(await readFile(path.replace("00001-of", "00002-of"), "utf8")).toBe(parts[1]);
    expect(bench.downloads()).toEqual(parts.map((part) => part.replace("q4/", "")));
    expect(await bench.resolve(`org/q/${parts[0]!}`, { offline: true })).toMatchObject({ path });
  });
});

describe("without the Hub", () => {
  it("HF_HUB_OFFLINE uses the cache, and a model that is not there is an error", async () => {
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    await expectCode(bench.resolve(), "hub-offline");
    expect(bench.hub.seen).toEqual([]);
    const online = await bench.resolve("org/tiny", { offline: false });
    bench.hub.seen.length = 0;
    const { path, hub } = await bench.resolve();
    expect(path).toBe(online.path);
    expect(hub).toEqual({ ...online.hub, source: "cache" });
    expect(await bench.resolve(`org/tiny@${COMMIT}`)).toMatchObject({ path });
    expect(bench.hub.seen).toEqual([]);
    await rm(join(path, modelFiles[3]));
    await expect(bench.resolve()).rejects.toThrow(/missing or incomplete in the cache .*unset HF_HUB_OFFLINE/);
  });

  it("the cache is used if the Hub cannot be reached", async () => {
    const { path } = await bench.resolve();
    await bench.hub.close();
    expect(await bench.resolve()).toMatchObject({ path, hub: { source: "cache" } });
    await expectCode(bench.resolve("org/other"), "hub-network");
  });
});
