/** `early-exits get` shows progress, prints the path of the model, and goes on after an interrupt. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { getCommand } from "../../../apps/cli/commands/get.js";
import { exitCodeOf } from "../../../apps/cli/exit-code.js";
import { openModel } from "../../../apps/cli/open-model.js";
import { COMMIT } from "../../node/hub/fake-hub.js";
import { largeRepo, modelFiles, openWorkbench, type Workbench } from "../../node/hub/support.js";
import { expectCode } from "../../support/expect-code.js";
import { parseJson, type TestIo, testIo, type TestIoOptions } from "../support.js";

let bench: Workbench;
beforeEach(async () => {
  bench = await openWorkbench();
  vi.stubEnv("HF_ENDPOINT", bench.hub.url);
  vi.stubEnv("HF_HUB_CACHE", bench.cache);
  vi.stubEnv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await bench.close();
});

/** Statements about the model, and what can be done with it. */
const FOUND = "org/tiny@main: 4 files, 0.4 MB";
const NEXT = "next:\n  npx early-exits plan org/tiny\n  npx early-exits chat org/tiny\n";

async function get(name: string, options: TestIoOptions & { json?: boolean } = {}) {
  const { json } = options;
  const io = testIo(options);
  const code = await exitCodeOf(io, () => getCommand.run({ name, json }, io), { json });
  return Object.assign(io, { code });
}

it("prints the path on stdout, and what was downloaded on stderr", async () => {
  const { code, out, err } = await get("org/tiny", { tick: 1000 });
  expect(code).toBe(0);
  const path = join(bench.cache, "models--org--tiny/snapshots", COMMIT);
  expect(out()).toBe(`${path}\n`);
  expect(existsSync(join(path, "config.json"))).toBe(true);
  expect(err()).toMatch(/^download 0.4\/0.4 {2}kB of config.json\n/);
  expect(err()).toMatch(/\ndownload 166.6\/166.6 {2}kB of model-00002-of-00002.safetensors\n/);
  expect(err()).toContain(`\n${FOUND}\n${NEXT}`);
});

it("shows no progress for a model in the cache, and mentions if the Hub was not asked", async () => {
  await get("org/tiny");
  expect((await get("org/tiny")).err()).toBe(`${FOUND}\n${NEXT}`);
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  expect((await get("org/tiny")).err()).toBe(`${FOUND}, from the cache without asking the Hub\n${NEXT}`);
});

it("does not download the weights of a model that exceeds the device for a command that loads it", async () => {
  bench.hub.repos["org/large"] = largeRepo;
  await expectCode(openModel(testIo(), "org/large", { device: "wasm" }), "model-too-large");
  expect(bench.downloads()).toEqual(["config.json"]);
});

it("prints one JSON object with --json, for errors too", async () => {
  const { out } = await get("org/tiny", { json: true });
  expect(parseJson(out())).toMatchObject({ repo: "org/tiny", commit: COMMIT, files: modelFiles, source: "hub" });
  const failed = await get("org/none", { json: true });
  expect(failed.code).toBe(1);
  expect(parseJson(failed.out())).toMatchObject({ error: { code: "hub-not-found" } });
});

it("prints a local path as it is, and refuses what is neither a path nor a name", async () => {
  expect((await get("test/golden/gpt2-tiny")).out()).toBe("test/golden/gpt2-tiny\n");
  const { code, err } = await get("nothing");
  expect(code).toBe(1);
  expect(err()).toMatch(/^error: nothing: there is no such file or folder. A model is a folder .*, a name of the Hub/);
});

it("can be interrupted, and then goes on with the files that are missing", async () => {
  bench.hub.interruptions.push({ after: 70_000, how: "stall" });
  const stopAt = (text: string, io: TestIo) => {
    if (text.includes("70/199.3")) io.interrupt();
  };
  const { code, err } = await get("org/tiny", { tick: 5000, onErr: stopAt });
  expect(code).toBe(130);
  expect(err()).toMatch(/\ninterrupted; early-exits get org\/tiny goes on with the files that are missing\n$/);
  bench.hub.seen.length = 0;
  expect((await get("org/tiny")).code).toBe(0);
  expect(bench.downloads()).toEqual(modelFiles.slice(2));
});
