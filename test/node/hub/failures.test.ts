/** Failures of the network, the server and the disk end in a typed error or a complete model, inside the cache. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HubOptions } from "early-exits/node";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { expectCode } from "../../support/expect-code.js";
import { COMMIT, sha256 } from "./fake-hub.js";
import { modelFiles, openWorkbench, tinyRepo, type Workbench } from "./support.js";

const shard = modelFiles[2];
const bytes = tinyRepo.files[shard]!;

let bench: Workbench;
beforeEach(async () => void (bench = await openWorkbench()));
afterEach(async () => {
  const left = await bench.cached("org/tiny").catch(() => []);
  expect(left.filter((path) => !/^(?:blobs\/[0-9a-f]+|refs\/main|snapshots\/.*\w)$/.test(path))).toEqual([]);
  await bench.close();
});

const refused = (code: string, says?: string | RegExp, name?: string, options?: HubOptions) =>
  expectCode(bench.resolve(name, options), code, says);

/** Downloads the model, and looks at every byte of it. */
async function whole(options: HubOptions = {}) {
  const { path } = await bench.resolve("org/tiny", options);
  for (const name of modelFiles) {
    expect(sha256(await readFile(join(path, name))), name).toBe(sha256(tinyRepo.files[name]!));
  }
}

describe("refusals", () => {
  test.each([
    [
      "org/none",
      "hub-not-found",
      /org\/none@main: .* has no such model, or it is private; check the name \(or the path/,
    ],
    ["org/tiny@v9", "hub-not-found", "org/tiny@v9: the Hub has no such revision; check the part after @"],
    ["org/tiny/a.gguf", "hub-not-found", "org/tiny/a.gguf: found no such file; the repository holds no GGUF file"],
    ["org/private", "hub-not-found", "set HF_TOKEN"],
    ["org/gated", "hub-gated", /this model is gated; request access at http.*\/org\/gated, then set/],
    ["hub:gpt2", "hub-name", '"hub:gpt2": expected an organisation and a name'],
  ])("%s: %s", async (name, code, sentence) => {
    bench.hub.repos["org/private"] = { ...tinyRepo, token: "secret" };
    bench.hub.repos["org/gated"] = { ...tinyRepo, token: "secret", gated: true };
    await refused(code, sentence, name);
    expect(await readdir(bench.cache)).toEqual([]);
  });

  it("a wrong token", async () => {
    bench.hub.repos["org/private"] = { ...tinyRepo, token: "secret" };
    const wrong = bench.resolve("org/private", { token: "wrong" });
    await expect(wrong).rejects.toMatchObject({ name: "HubError", code: "hub-unauthorized", details: { status: 401 } });
  });
});

describe("connections", () => {
  it("a broken connection is tried again from the beginning", async () => {
    for (const after of [50_000, 1]) bench.hub.interruptions.push({ after, how: "cut" });
    await whole({ retries: 2 });
    expect(bench.downloads().filter((name) => name === shard)).toHaveLength(3);
  });

  it("a connection that breaks too often is an error, and files that are complete are kept", async () => {
    for (const after of [50_000, 60_000]) bench.hub.interruptions.push({ after, how: "cut" });
    await refused("hub-network", "", "org/tiny", { retries: 1 });
    bench.hub.seen.length = 0;
    await whole();
    expect(bench.downloads()).toEqual(modelFiles.slice(2));
  });

  it("a stalled connection is dropped and tried again", async () => {
    bench.hub.interruptions.push({ after: 70_000, how: "stall" });
    await whole({ timeout: 150 });
    expect(bench.downloads().filter((name) => name === shard)).toHaveLength(2);
  });

  it("a server that does not respond is a timeout", async () => {
    bench.hub.fault = () => true;
    const says = /^org\/tiny@main: 127.0.0.1:\d+ sent nothing for 0.05 s; try again/;
    await refused("hub-timeout", says, "org/tiny", { timeout: 50, retries: 1 });
    expect(bench.hub.seen).toHaveLength(2);
  });

  it("a server error is retried, no more often than `retries` says", async () => {
    let failures = 2;
    bench.hub.fault = (_, response) => failures-- > 0 && !!response.writeHead(503).end();
    await whole();
    failures = 100;
    await refused("hub-server", "", "org/tiny@main/a.gguf", { retries: 2 });
    expect(failures).toBe(97);
  });

  it("Retry-After determines the pause", async () => {
    let refused = 0;
    bench.hub.fault = (_, response) => refused++ === 0 && !!response.writeHead(429, { "retry-after": "0.3" }).end();
    const started = performance.now();
    await whole();
    expect(performance.now() - started).toBeGreaterThan(290);
  });

  it("an expired link to the CDN is replaced", async () => {
    let refused = 0;
    bench.hub.fault = ({ at }, response) => at === "cdn" && refused++ === 0 && !!response.writeHead(403).end();
    await whole();
    expect(refused).toBe(3);
  });

  it("endless redirects, and redirects to other protocols, are refused", async () => {
    bench.hub.fault = ({ path }, response) => !!response.writeHead(302, { location: path }).end();
    await refused("hub-network", "redirect count exceeded");
    bench.hub.fault = (_, response) => !!response.writeHead(302, { location: "file:///etc/passwd" }).end();
    await refused("hub-network");
  });

  it("an abort throws the signal's reason and leaves no partial file", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    bench.hub.interruptions.push({ after: 70_000, how: "stall" });
    const run = bench.resolve("org/tiny", {
      signal: controller.signal,
      onProgress: ({ received }) => received === 70_000 && controller.abort(reason),
    });
    await expect(run).rejects.toBe(reason);
    await expect(bench.resolve("org/tiny", { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("damage", () => {
  const flip = (body: Uint8Array) => body.map((byte, i) => (i === 1000 ? byte ^ 1 : byte));

  test.each([...modelFiles])("a wrong byte in %s is detected, and the file is discarded", async (name) => {
    bench.hub.damage = ({ path }, body) => (path.endsWith(name) ? flip(body.with(5, 0)) : body);
    await refused("hub-checksum", `org/tiny@main/${name}: the downloaded bytes do not match the Hub's checksum`);
    expect(await bench.cached("org/tiny")).not.toContain(`snapshots/${COMMIT}/${name}`);
    bench.hub.damage = undefined;
    await whole();
  });

  test.each<[string, (body: Uint8Array) => Uint8Array, string, string]>([
    ["longer", (body) => Buffer.concat([body, body]), "hub-answer", `it has more than ${bytes.length} bytes`],
    ["shorter", (body) => body.subarray(1), "hub-checksum", "do not match the Hub's checksum"],
  ])("a file that is %s than announced is refused", async (_, change, code, sentence) => {
    bench.hub.damage = ({ path }, body) => (path.endsWith(shard) ? change(body) : body);
    await refused(code, sentence);
  });
});

describe("malicious servers", () => {
  /** Answers requests for an address of the API. */
  const answer = (asked: string, info: unknown) => {
    bench.hub.fault = ({ path }, response) =>
      path.includes(asked) && !!response.writeHead(200).end(typeof info === "string" ? info : JSON.stringify(info));
  };
  const siblings = modelFiles.map((rfilename) => ({ rfilename }));
  const described = (change: object) =>
    modelFiles.map((name) => ({ path: name, type: "file", oid: COMMIT, size: 9, ...change }));

  test.each([
    ["revision", "<html>", "it does not describe a model"],
    ["revision", { siblings }, "it names no commit"],
    ["revision", { sha: "../../../../x", siblings }, "it names no commit"],
    ["revision", { sha: COMMIT, siblings: [{ rfilename: "../../config.json" }] }, "holds neither model.safetensors"],
    ["revision", { sha: COMMIT, siblings: [{ rfilename: "../../../../a.gguf" }] }, "holds neither model.safetensors"],
    ["paths-info", described({ oid: "x" }), 'its checksum "x" is no SHA-256'],
    ["paths-info", described({ oid: undefined }), "its checksum undefined is no SHA-256"],
    ["paths-info", described({ lfs: { oid: "/etc/x", size: 9 } }), 'its checksum "/etc/x" is no SHA-256'],
    ["paths-info", described({ size: "1e9" }), 'its size is "1e9"'],
    ["paths-info", described({ path: "README.md" }), "it does not describe config.json"],
    ["paths-info", "<html>", "it does not describe files"],
    ["paths-info", "[null]", "it does not describe files"],
  ])("that answer %s with %j", async (asked, info, sentence) => {
    answer(asked, info);
    await refused(sentence.startsWith("holds neither") ? "hub-no-model" : "hub-answer", sentence);
    expect(await readdir(bench.cache)).toEqual([]);
  });

  it.each(["revision", "paths-info"])("that answer %s without end", async (asked) => {
    bench.hub.fault = ({ path }, response) => {
      if (!path.includes(asked)) return false;
      response.writeHead(200);
      const more = (error?: Error | null) => {
        if (!error) response.write(" ".repeat(2 ** 20), more);
      };
      more();
      return true;
    };
    await refused("hub-answer", "it has more than 33554432 bytes");
  });

  it("that announce more than the disk holds: nothing is allocated", async () => {
    answer("paths-info", described({ size: 900_000_000_000_000 }));
    const says = /the download needs 900000000.0 MB, and the disk has [\d.]+ MB free; free some space/;
    await refused("hub-no-space", says);
  });

  test.each(["../../../../escaped.safetensors", "/escaped.safetensors", "a/../../escaped.safetensors"])(
    "whose index names the shard %s",
    async (name) => {
      const index = new TextEncoder().encode(JSON.stringify({ weight_map: { a: name } }));
      const files = { ...tinyRepo.files, "model.safetensors.index.json": index, [name]: bytes };
      bench.hub.repos["org/tiny"] = { files };
      await expect(bench.resolve()).rejects.toMatchObject({ code: "hub-unsafe-name", details: { shard: name } });
      const all = await readdir(bench.cache, { recursive: true });
      expect(all.filter((path) => path.includes("escaped"))).toEqual([]);
    },
  );
});

it("a cache that cannot be written is an error of the disk", async () => {
  await rm(bench.cache, { recursive: true });
  await writeFile(bench.cache, "a file");
  await refused("hub-disk", /cannot be written \(ENOTDIR\); set HF_HUB_CACHE to another folder/);
});
