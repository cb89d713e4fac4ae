/** Checkpoints on disk: parts of huge files, shards, and errors that name the file. */
import { mkdir, open, rm, truncate, writeFile } from "node:fs/promises";
import { createReferenceDevice, parseSafetensors } from "early-exits/tensor";
import { serializeSafetensors } from "../../src/tensor/formats/serialize-safetensors.js";
import { readModel, readTensorSource } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { randomIds, smallCheckpoint, smallConfigs, smallModel } from "../support/models.js";
import { expectCode } from "../support/expect-code.js";
import { scratch } from "../support/scratch.js";

const { path: inFolder } = scratch("early exits ü ");
const folder = inFolder();

describe("a file", () => {
  it("reads a tensor beyond 4 GiB of a 5 GiB file without reading the rest", async () => {
    // A sparse file: a valid header, a hole, and four floats at the end.
    const rows = 5 * 2 ** 28;
    const path = inFolder("model.safetensors");
    const json = JSON.stringify({
      big: { dtype: "F32", shape: [rows], data_offsets: [0, 4 * rows] },
      last: { dtype: "F32", shape: [4], data_offsets: [4 * rows, 4 * rows + 16] },
    });
    const header = new Uint8Array(8 + json.length);
    new DataView(header.buffer).setBigUint64(0, BigInt(json.length), true);
    header.set(new TextEncoder().encode(json), 8);
    await writeFile(path, header);
    await truncate(path, header.length + 4 * rows + 16);
    const file = await open(path, "r+");
    await file.write(Float32Array.of(1, 2, 3, 4), 0, 16, header.length + 4 * rows);
    await file.close();

    const before = process.memoryUsage().rss;
    const source = await readTensorSource(folder);
    expect(new Float32Array((await source.read("last")).buffer)).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(new Float32Array((await source.read("last", 4, 12)).buffer)).toEqual(Float32Array.of(2, 3));
    expect((await source.read("big", 4 * rows - 8)).length).toBe(8);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
    await rm(path);
  });

  it("names a file that is no checkpoint or ends too early, and a tensor that does not exist", async () => {
    const path = inFolder("model.safetensors");
    await writeFile(path, "tiny");
    await expect(readTensorSource(folder)).rejects.toMatchObject({ name: "SafetensorsError" });
    await writeFile(path, serializeSafetensors({ a: { dtype: "F32", shape: [1], data: Float32Array.of(1) } }));
    const source = await readTensorSource(folder);
    await expect(source.read("b")).rejects.toThrow(/model.safetensors: no tensor "b"/);
    await truncate(path, 66);
    await expectCode(source.read("a"), "file-truncated", path);
    await rm(path);
  });
});

describe("a folder", () => {
  it("reads the shards of an index as one checkpoint", async () => {
    const config = smallConfigs["llama"]!;
    const whole = parseSafetensors(await smallCheckpoint(config));
    const shardOf = (name: string) =>
      name.includes("layers.1") || name.includes("norm") ? "b.safetensors" : "a.safetensors";
    for (const shard of ["a.safetensors", "b.safetensors"]) {
      const tensors = whole.names
        .filter((name) => shardOf(name) === shard)
        .map((name) => [name, { dtype: "F32", shape: whole.info(name).shape, data: whole.float32(name) }] as const);
      await writeFile(inFolder(shard), serializeSafetensors(Object.fromEntries(tensors)));
    }
    const writeIndex = (weightMap: Readonly<Record<string, string>>) =>
      writeFile(inFolder("model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
    const weightMap = Object.fromEntries(whole.names.map((name) => [name, shardOf(name)]));
    await writeIndex(weightMap);
    await writeFile(inFolder("config.json"), JSON.stringify(config));
    const ids = randomIds(7, 61, 1);
    const device = createReferenceDevice();
    expect(await (await readModel(folder, { device })).logits(ids)).toEqual(
      await (await smallModel({ config, device })).logits(ids),
    );

    await writeIndex({ ...weightMap, "lm_head.weight": "c.safetensors" });
    await expect(readTensorSource(folder)).rejects.toThrow(/shard c.safetensors, which is not in the folder/);
    await writeIndex({ ...weightMap, "lm_head.weight": "b.safetensors" });
    await expect(readTensorSource(folder)).rejects.toThrow(/"lm_head.weight" is in b.safetensors, but it is not/);
    await writeIndex({ x: "../x.safetensors" });
    await expectCode(readTensorSource(folder), "index-malformed");
  });

  it("says what is missing", async () => {
    await expect(readModel(inFolder("nowhere"), { device: createReferenceDevice() })).rejects.toThrow(
      /no config.json; expected a Hugging Face model folder/,
    );
    const bare = inFolder("bare");
    await mkdir(bare);
    await expect(readTensorSource(bare)).rejects.toThrow(/neither model.safetensors nor model.safetensors.index.json/);
  });
});
