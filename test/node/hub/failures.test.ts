/** Failures of the network, the server and the disk end in a typed error or a complete model, inside the cache. */
import { readdir, writeFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { HubError } from "early-exits/model";
import { type HubOptions, resolveModel } from "early-exits/node";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { COMMIT, sha256 } from "./fake-hub.js";
import { modelFiles, openWorkbench, tinyRepo, type Workbench } from "./support.js";

const shard = modelFiles[2];
const bytes = tinyRepo.files[shard]!;

let bench: Workbench;
beforeEach(async () => void (bench = await openWorkbench()));
afterEach(() => bench.close());

async function failure(name = "org/tiny", options: HubOptions = {}): Promise<HubError> {
  const error = await resolveModel(name, { ...bench.options, ...options }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  return error as HubError;
}

/** Leaves a partial file of the shard, as an interrupted download does. */
async function leavePart(part: Uint8Array, owner = "free"): Promise<void> {
  const blobs = join(bench.cache, "models--org--tiny/blobs");
  await mkdir(blobs, { recursive: true });
  await writeFile(join(blobs, `${sha256(bytes)}.early-exits-${owner}.incomplete`), part);
}

const incomplete = async (): Promise<string[]> =>
  (await bench.cached("org/tiny")).filter((path) => path.endsWith(".incomplete"));

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
    const error = await failure(name);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(sentence);
    expect(await readdir(bench.cache)).toEqual([]);
  });

  it("a wrong token", async () => {
    bench.hub.repos["org/private"] = { ...tinyRepo, token: "secret" };
    const error = await failure("org/private", { token: "wrong" });
    expect(error).toMatchObject({ code: "hub-unauthorized", details: { status: 401 } });
  });
});

describe("connections", () => {
  it("a broken connection resumes, more often than `retries` if there is progress each time", async () => {
    for (const after of [50_000, 30_000, 1, 60_000]) bench.hub.interruptions.push({ after, how: "cut" });
    await resolveModel("org/tiny", { ...bench.options, retries: 1 });
    const ranges = bench.hub.seen.filter(({ at, path }) => at === "cdn" && path.endsWith(shard));
    expect(ranges.map(({ range }) => range)).toEqual([
      undefined,
      "bytes=50000-",
      "bytes=80000-",
      "bytes=80001-",
      "bytes=140001-",
    ]);
    expect(await incomplete()).toEqual([]);
  });

  it("a connection that breaks too often leaves a partial file, which the next download resumes", async () => {
    bench.hub.fault = ({ at, range }, response) => at === "cdn" && range !== undefined && !!response.destroy();
    bench.hub.interruptions.push({ after: 50_000, how: "cut" });
    expect(await failure("org/tiny", { retries: 1 })).toMatchObject({ code: "hub-network" });
    expect(await incomplete()).toEqual([`blobs/${sha256(bytes)}.early-exits-free.incomplete`]);
    bench.hub.fault = undefined;
    await resolveModel("org/tiny", bench.options);
    expect(bench.downloads()).toContain(`${shard} bytes=50000-`);
    expect(await incomplete()).toEqual([]);
  });

  it("a stalled connection is dropped, and the download resumes", async () => {
    bench.hub.interruptions.push({ after: 70_000, how: "stall" });
    await resolveModel("org/tiny", { ...bench.options, timeout: 150 });
    expect(bench.downloads()).toContain(`${shard} bytes=70000-`);
  });

  it("a server that does not respond is a timeout", async () => {
    bench.hub.fault = () => true;
    const error = await failure("org/tiny", { timeout: 50, retries: 1 });
    expect(error.code).toBe("hub-timeout");
    expect(error.message).toMatch(/^org\/tiny@main: 127.0.0.1:\d+ sent nothing for 0.05 s; try again/);
    expect(bench.hub.seen).toHaveLength(2);
  });

  it("a server error is retried, no more often than `retries` says", async () => {
    let failures = 2;
    bench.hub.fault = (_, response) => failures-- > 0 && !!response.writeHead(503).end();
    await resolveModel("org/tiny", bench.options);
    failures = 100;
    expect(await failure("org/tiny@main/a.gguf", { retries: 2 })).toMatchObject({ code: "hub-server" });
    expect(failures).toBe(97);
  });

  it("Retry-After determines the pause", async () => {
    let refused = 0;
    bench.hub.fault = (_, response) => refused++ === 0 && !!response.writeHead(429, { "retry-after": "1" }).end();
    const started = performance.now();
    await resolveModel("org/tiny", bench.options);
    expect(performance.now() - started).toBeGreaterThan(990);
  });

  it("an expired link to the CDN is replaced", async () => {
    let refused = 0;
    bench.hub.fault = ({ at }, response) => at === "cdn" && refused++ === 0 && !!response.writeHead(403).end();
    await resolveModel("org/tiny", bench.options);
    expect(refused).toBe(3);
  });

  it("endless redirects, and redirects to other protocols, are refused", async () => {
    bench.hub.fault = ({ path }, response) => !!response.writeHead(302, { location: path }).end();
    expect(await failure()).toMatchObject({ code: "hub-redirects" });
    bench.hub.fault = (_, response) => !!response.writeHead(302, { location: "file:///etc/passwd" }).end();
    expect((await failure()).message).toContain("it redirects from http: to file:");
  });

  it("an abort throws the signal's reason and leaves a partial file", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    bench.hub.interruptions.push({ after: 70_000, how: "stall" });
    const run = resolveModel("org/tiny", {
      ...bench.options,
      signal: controller.signal,
      onProgress: ({ received }) => received === 70_000 && controller.abort(reason),
    });
    await expect(run).rejects.toBe(reason);
    expect(await incomplete()).toHaveLength(1);
    await expect(resolveModel("org/tiny", { ...bench.options, signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("damage", () => {
  const flip = (body: Uint8Array): Uint8Array => body.map((byte, i) => (i === 1000 ? byte ^ 1 : byte));

  test.each([...modelFiles])("a wrong byte in %s is detected, and the file is discarded", async (name) => {
    bench.hub.damage = ({ path }, body) => (path.endsWith(name) ? flip(body.with(5, 0)) : body);
    const error = await failure();
    expect(error.code).toBe("hub-checksum");
    expect(error.message).toContain(`org/tiny@main/${name}: the downloaded bytes do not match the Hub's checksum`);
    expect(await incomplete()).toEqual([]);
    expect(await bench.cached("org/tiny")).not.toContain(`snapshots/${COMMIT}/${name}`);
    bench.hub.damage = undefined;
    await resolveModel("org/tiny", bench.options);
  });

  it("a damaged partial file is discarded, and the download starts again", async () => {
    await leavePart(flip(bytes).subarray(0, 5000));
    await resolveModel("org/tiny", bench.options);
    expect(bench.downloads().filter((line) => line.startsWith(shard))).toEqual([`${shard} bytes=5000-`, shard]);
  });

  it("a partial file that is longer than the file is discarded", async () => {
    await leavePart(new Uint8Array(bytes.length + 1));
    await resolveModel("org/tiny", bench.options);
    expect(bench.downloads()).toContain(shard);
  });

  it("the partial file of another machine is not touched", async () => {
    await leavePart(bytes.subarray(0, 9), "elsewhere-1-ab");
    await resolveModel("org/tiny", bench.options);
    expect(bench.downloads()).toContain(shard);
    expect(await incomplete()).toHaveLength(1);
  });

  it("a file that is longer than announced is refused", async () => {
    bench.hub.damage = ({ method, path }, body) =>
      method === "GET" && path.endsWith(shard) ? Buffer.concat([body, body]) : body;
    expect((await failure()).message).toContain(`it has more than the ${bytes.length} bytes announced before`);
    expect(await incomplete()).toEqual([]);
  });

  it("a server may ignore the range and send the whole file", async () => {
    await leavePart(bytes.subarray(0, 5000));
    bench.hub.fault = ({ at, path }, response) =>
      at === "cdn" && path.endsWith(shard) && !!response.writeHead(200).end(bytes);
    await resolveModel("org/tiny", bench.options);
  });

  it("a server that sends another range is refused", async () => {
    await leavePart(bytes.subarray(0, 5000));
    bench.hub.fault = ({ at }, response) =>
      at === "cdn" && !!response.writeHead(206, { "content-range": "bytes 0-9/10" }).end("0123456789");
    expect((await failure()).message).toContain(
      'bytes from 5000 of 199280 were requested, and "bytes 0-9/10" was sent',
    );
  });
});

describe("malicious servers", () => {
  const answer = (info: unknown) => {
    bench.hub.fault = ({ path }, response) =>
      path.startsWith("/api") && !!response.writeHead(200).end(typeof info === "string" ? info : JSON.stringify(info));
  };
  const siblings = modelFiles.map((rfilename) => ({ rfilename }));

  test.each([
    ["<html>", "it does not describe a model"],
    ["null", "it does not describe a model"],
    [{ siblings }, "it names no commit"],
    [{ sha: "../../../../x", siblings }, "it names no commit"],
    [{ sha: COMMIT, siblings: 7 }, "it does not describe a model"],
    [{ sha: COMMIT }, "it holds neither"],
    [{ sha: COMMIT, siblings: [{ rfilename: 7 }] }, "it lists no files"],
    [{ sha: COMMIT, siblings: [{ rfilename: "../../config.json" }] }, "holds neither model.safetensors nor"],
  ])("that describe a model as %j", async (info, sentence) => {
    answer(info);
    const error = await failure();
    expect(["hub-answer", "hub-no-model"]).toContain(error.code);
    expect(error.message).toContain(sentence.replace("it holds", "holds"));
    expect(await readdir(bench.cache)).toEqual([]);
  });

  it("that describe a model without end", async () => {
    bench.hub.fault = (_, response) => {
      response.writeHead(200);
      const more = (): void => {
        if (!response.destroyed) response.write(" ".repeat(2 ** 20), more);
      };
      more();
      return true;
    };
    expect((await failure()).message).toContain("it has more than 33554432 bytes");
  });

  test.each([
    [{ etag: "x" }, 'its ETag "x" is neither'],
    [{ etag: '"../../../x"' }, 'its ETag "../../../x" is neither'],
    [{}, 'its ETag "" is neither'],
    [{ etag: `"${COMMIT}"`, "x-linked-size": "1e9" }, 'its size is "1e9"'],
    [{ etag: `"${COMMIT}"`, "x-linked-size": "-1" }, 'its size is "-1"'],
    [{ etag: `"${COMMIT}"`, "x-linked-size": "9", "x-repo-commit": "7" }, "it belongs to commit 7, not"],
  ])("that answer HEAD with %j", async (headers, sentence) => {
    bench.hub.fault = ({ method }, response) => method === "HEAD" && !!response.writeHead(200, headers).end();
    const error = await failure();
    expect(error.code).toBe("hub-answer");
    expect(error.message).toContain(sentence);
    expect(await readdir(bench.cache)).toEqual([]);
  });

  it("that announce more than the disk holds: nothing is allocated", async () => {
    bench.hub.fault = ({ method }, response) =>
      method === "HEAD" && !!response.writeHead(200, { etag: `"${COMMIT}"`, "x-linked-size": "900000000000000" }).end();
    const error = await failure();
    expect(error.code).toBe("hub-no-space");
    expect(error.message).toMatch(
      /the download needs 900000000.0 MB, and the disk has [\d.]+ MB free; free some space/,
    );
  });

  test.each(["../../../../escaped.safetensors", "/escaped.safetensors", "a/../../escaped.safetensors"])(
    "whose index names the shard %s",
    async (name) => {
      const index = new TextEncoder().encode(JSON.stringify({ weight_map: { a: name } }));
      const files = { ...tinyRepo.files, "model.safetensors.index.json": index, [name]: bytes };
      bench.hub.repos["org/tiny"] = { files };
      expect(await failure()).toMatchObject({ code: "hub-unsafe-name", details: { shard: name } });
      const all = await readdir(bench.cache, { recursive: true });
      expect(all.filter((path) => path.includes("escaped"))).toEqual([]);
    },
  );
});

it("a cache that cannot be written is an error of the disk", async () => {
  await rm(bench.cache, { recursive: true });
  await writeFile(bench.cache, "a file");
  const error = await failure();
  expect(error.code).toBe("hub-disk");
  expect(error.message).toMatch(/cannot be written \(ENOTDIR\); set HF_HUB_CACHE to another folder/);
});
