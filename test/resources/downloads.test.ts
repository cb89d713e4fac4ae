/** Downloads in separate processes: one that is killed, and two at the same time. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { sha256 } from "../node/hub/fake-hub.js";
import { openWorkbench, type Workbench } from "../node/hub/support.js";

const MEGABYTE = 1_000_000;
const bytes = new Uint8Array(3 * MEGABYTE).map((_, i) => (i * 7919) >> 5);

let bench: Workbench;
beforeEach(async () => void (bench = await openWorkbench({ "org/big": { files: { "big.gguf": bytes } } })));
afterEach(() => bench.close());

function download() {
  const script = join(import.meta.dirname, "../node/hub/download-child.ts");
  const args = ["--import", "tsx", script, bench.hub.url, bench.cache, "org/big/big.gguf"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return Object.assign(child, { output: once(child, "close").then(() => text) });
}

/** Waits until so many bytes of the file were sent. */
async function sent(count: number) {
  const total = () => bench.hub.seen.reduce((sum, request) => sum + request.sent, 0);
  while (total() < count) await new Promise((resolve) => setTimeout(resolve, 10));
}

const complete = [`blobs/${sha256(bytes)}`, "refs/main", expect.stringMatching(/^snapshots\/.*\/big.gguf$/)];

it("what a killed download has left is removed by the next process, which begins anew", async () => {
  bench.hub.speed = 2 * MEGABYTE;
  const child = download();
  await sent(MEGABYTE);
  child.kill("SIGKILL");
  await child.output;
  expect(await bench.cached("org/big")).toEqual([expect.stringMatching(/^blobs\/[0-9a-f]+\.\d+-.*\.tmp$/)]);
  bench.hub.speed = Infinity;
  const { path } = await bench.resolve("org/big/big.gguf");
  expect(sha256(await readFile(path))).toBe(sha256(bytes));
  expect(await bench.cached("org/big")).toEqual(complete);
});

it("two processes that download the same file both finish, and leave no partial file", async () => {
  bench.hub.speed = 2 * MEGABYTE;
  const children = [download(), download()];
  const paths = (await Promise.all(children.map(({ output }) => output))).map((text) => /path (.*)/.exec(text)?.[1]);
  expect(paths[0]).toBeDefined();
  expect(paths[1]).toBe(paths[0]);
  expect(sha256(await readFile(paths[0]!))).toBe(sha256(bytes));
  expect(await bench.cached("org/big")).toEqual(complete);
});

it("so do several downloads in one process", async () => {
  bench.hub.speed = 4 * MEGABYTE;
  const names = ["org/big/big.gguf", "org/big", "org/big@main"];
  const models = await Promise.all(names.map((name) => bench.resolve(name)));
  for (const { path } of models) expect(sha256(await readFile(path))).toBe(sha256(bytes));
  expect(await bench.cached("org/big")).toEqual(complete);
});
