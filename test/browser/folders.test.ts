/**
 * Where a browser finds models: URLs, file pickers, dropped folders, directory handles; heads and policies in them; and
 * what is refused.
 */
import { attachHeads, createPolicy, loadModel, serializeHeads } from "early-exits";
import { memorySource } from "early-exits/model";
import { createDevice, readHeads, readModel, readPolicy } from "early-exits/browser";
import { describe, expect, it } from "vitest";
import { generated } from "../support/generated.js";
import { byteConfig, smallCheckpoint, smallConfigs } from "../support/models.js";
import { drop } from "./support/drop.js";
import { expectCode } from "../support/expect-code.js";

const config = smallConfigs["llama"]!;
const ids = [1, 2, 3, 4, 5];
const device = await createDevice();
/** A model folder in memory. */
const folderOf = async (config: Readonly<Record<string, unknown>>): Promise<Record<string, BlobPart>> => ({
  "config.json": JSON.stringify(config),
  "model.safetensors": await smallCheckpoint(config),
});
const files = await folderOf(config);
const picked = Object.entries(files).map(([name, part]) => new File([part], name));
const checkpoint = memorySource(await smallCheckpoint(config));
const expected = await (await loadModel(config, checkpoint, { device })).logits(ids);

const mapOf = (prefix: string, parts: Record<string, BlobPart>) =>
  new Map(Object.entries(parts).map(([name, part]) => [prefix + name, new Blob([part])]));
/** The logits of a model from there are the expected ones. */
async function expectSame(source: Parameters<typeof readModel>[0]) {
  expect(await (await readModel(source, { device })).logits(ids)).toEqual(expected);
}

describe("readModel", () => {
  it("takes files by path, in whatever folder they lie", async () => {
    await expectSame(mapOf("", files));
    await expectSame(mapOf("downloads/my-model/", files));
    // The shallowest config.json counts.
    await expectSame(new Map([...mapOf("m/older/", { ...files, "config.json": "{}" }), ...mapOf("m/", files)]));
  });

  it("takes the files of a picker", () => expectSame(picked));

  it("takes a directory handle, with heads in a folder below", async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("model", { create: true });
    for (const [name, part] of Object.entries(files)) {
      const writable = await (await root.getFileHandle(name, { create: true })).createWritable();
      await writable.write(new Blob([part]));
      await writable.close();
    }
    await expectSame(root);
  });

  it("takes what a drop holds", async () => expectSame(await drop(picked)));

  it("takes a name of the Hub, and addresses with a query: the files are fetched from there", async () => {
    const realFetch = globalThis.fetch;
    const asked: string[] = [];
    const cut = () => new ReadableStream({ start: (body) => body.error(new Error("cut")) });
    globalThis.fetch = (input) => {
      const address = input instanceof Request ? input.url : String(input);
      asked.push(address);
      const part = address.includes("cut") ? cut() : files[/[^/]+$/.exec(address.replace(/\?.*/, ""))![0]];
      return Promise.resolve(new Response(part ?? null, { status: part === undefined ? 404 : 200 }));
    };
    try {
      await expectSame("hub:org/name@v1");
      const base = "https://huggingface.co/org/name/resolve/v1/";
      expect(asked).toEqual(expect.arrayContaining([`${base}config.json`, `${base}model.safetensors`]));
      await expectCode(readModel("hub:name", { device }), "hub-name");
      await expectSame("/folder?token=1");
      expect(asked.at(-1)).toMatch("/folder/generation_config.json?token=1");
      await expectCode(readModel("/cut", { device }), "fetch-failed");
    } finally {
      globalThis.fetch = realFetch;
    }
  });

  it.each([
    ["config-missing", new Map<string, Blob>()],
    ["json-malformed", mapOf("", { "config.json": "{" })],
    ["checkpoint-missing", mapOf("", { "config.json": JSON.stringify(config) })],
    ["file-too-short", mapOf("", { ...files, "model.safetensors": "tiny" })],
    ["config-missing", "/test/golden/nowhere/"],
    ["fetch-failed", "http://127.0.0.1:9/"],
    ["fetch-failed", "https://["],
  ])("reports what is missing or malformed: %s", (code, source) => expectCode(readModel(source, { device }), code));
});

it("readHeads and readPolicy give back heads and a policy, and text with exits is what they gave before", async () => {
  const parts = await folderOf(byteConfig);
  const model = await readModel(mapOf("", parts), { device });
  const heads = attachHeads(model, { exits: [1, 2, 3] });
  const policy = createPolicy(heads, ["never", "always", "never"]);
  const run = await generated(heads, [1, 2, 3], { policy });

  const { description, weights } = await serializeHeads(heads);
  const stored = new Map([
    ...mapOf("model/", parts),
    ...mapOf("model/heads/", {
      "heads.json": JSON.stringify(description),
      "heads.safetensors": weights as Uint8Array<ArrayBuffer>,
      "policy.json": JSON.stringify({ policy }),
    }),
  ]);
  const again = await readHeads(stored, await readModel(stored, { device }));
  const replay = await generated(again, [1, 2, 3], { policy: await readPolicy(stored) });
  expect(replay.ids).toEqual(run.ids);
  expect(replay.tokens.map(({ depth }) => depth)).toEqual(run.ids.map(() => 2));

  await expectCode(readHeads(mapOf("", files), model), "heads-missing");
  await expectCode(readHeads(stored, await readModel(mapOf("", files), { device })), "heads-model");
  await expectCode(readPolicy(mapOf("", files)), "policy-missing");
  await expectCode(readPolicy(mapOf("", { "policy.json": "{}" })), "policy-format");
});
