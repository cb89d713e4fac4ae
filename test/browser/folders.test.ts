/**
 * Where a browser finds models: URLs, file pickers, dropped folders, directory handles; heads and policies in them; and
 * what is refused.
 */
import { attachHeads, createPolicy, loadModel, serializeHeads } from "early-exits";
import { memorySource } from "early-exits/model";
import { createDevice, readHeads, readModel, readPolicy } from "early-exits/browser";
import { beforeAll, describe, expect, it } from "vitest";
import { generated } from "../support/generated.js";
import { byteConfig, smallCheckpoint, smallConfigs } from "../support/models.js";
import { drop } from "./support/drop.js";
import { expectCode } from "../support/expect-code.js";

const config = smallConfigs["llama"]!;
const ids = [1, 2, 3, 4, 5];
/** A model folder in memory, and the logits of its model. */
let files: Record<string, BlobPart>;
let expected: Float32Array;
beforeAll(async () => {
  const checkpoint = await smallCheckpoint(config);
  files = { "config.json": JSON.stringify(config), "model.safetensors": checkpoint as Uint8Array<ArrayBuffer> };
  expected = await (await loadModel(config, memorySource(checkpoint), { device: await createDevice() })).logits(ids);
});

const mapOf = (prefix: string, parts: Record<string, BlobPart>): Map<string, Blob> =>
  new Map(Object.entries(parts).map(([name, part]) => [prefix + name, new Blob([part])]));
const logitsOf = async (source: Parameters<typeof readModel>[0]): Promise<Float32Array> =>
  (await readModel(source, { device: await createDevice() })).logits(ids);

describe("readModel", () => {
  it("takes files by path, in whatever folder they lie", async () => {
    expect(await logitsOf(mapOf("", files))).toEqual(expected);
    expect(await logitsOf(mapOf("downloads/my-model/", files))).toEqual(expected);
    const nested = new Map([...mapOf("m/older/", { ...files, "config.json": "{}" }), ...mapOf("m/", files)]);
    expect(await logitsOf(nested)).toEqual(expected); // the shallowest config.json counts
  });

  it("takes the files of a picker", async () => {
    expect(await logitsOf(Object.entries(files).map(([name, part]) => new File([part], name)))).toEqual(expected);
  });

  it("takes a directory handle, with heads in a folder below", async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("model", { create: true });
    for (const [name, part] of Object.entries(files)) {
      const writable = await (await root.getFileHandle(name, { create: true })).createWritable();
      await writable.write(new Blob([part]));
      await writable.close();
    }
    expect(await logitsOf(root)).toEqual(expected);
  });

  it("takes what a drop holds", async () => {
    const dropped = await drop(Object.entries(files).map(([name, part]) => new File([part], name)));
    expect(await logitsOf(dropped)).toEqual(expected);
  });

  it("takes a name of the Hub: the files are fetched from there", async () => {
    const realFetch = globalThis.fetch;
    const asked: string[] = [];
    globalThis.fetch = (input) => {
      const address = input instanceof Request ? input.url : String(input);
      asked.push(address);
      const part = files[address.split("/").at(-1)!];
      return Promise.resolve(new Response(part ?? null, { status: part === undefined ? 404 : 200 }));
    };
    try {
      expect(await logitsOf("hub:org/name@v1")).toEqual(expected);
      const base = "https://huggingface.co/org/name/resolve/v1/";
      expect(asked).toEqual(expect.arrayContaining([`${base}config.json`, `${base}model.safetensors`]));
      await expectCode(readModel("hub:name", { device: await createDevice() }), "hub-name");
    } finally {
      globalThis.fetch = realFetch;
    }
  });

  it("reports what is missing or malformed", async () => {
    const device = await createDevice();
    await expectCode(readModel(new Map(), { device }), "config-missing");
    await expectCode(readModel(mapOf("", { "config.json": "{" }), { device }), "json-malformed");
    await expectCode(readModel(mapOf("", { "config.json": JSON.stringify(config) }), { device }), "checkpoint-missing");
    await expectCode(readModel(mapOf("", { ...files, "model.safetensors": "tiny" }), { device }), "file-too-short");
    await expectCode(readModel("/test/golden/nowhere/", { device }), "config-missing");
    await expectCode(readModel("http://127.0.0.1:9/", { device }), "fetch-failed");
  });
});

describe("readHeads and readPolicy", () => {
  it("give back heads and a policy, and text with exits is what they gave before", async () => {
    const device = await createDevice();
    const parts = {
      "config.json": JSON.stringify(byteConfig),
      "model.safetensors": (await smallCheckpoint(byteConfig)) as Uint8Array<ArrayBuffer>,
    };
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
});
