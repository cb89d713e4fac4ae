/**
 * Checkpoints on disk as tensor sources: one safetensors file, or shards named by model.safetensors.index.json. Only headers are read
 * at first; tensors are read piece by piece, so a file of any size costs no more memory than the piece.
 */
import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { ModelError } from "../errors.js";
import type { TensorSource } from "../model/checkpoint.js";
import { parseSafetensorsHeader, safetensorsHeaderLength, type SafetensorsHeader } from "../tensor/safetensors.js";
import { fileExists, readJson } from "./files.js";

/** Opens one safetensors file. The file is opened anew for every read, so nothing needs closing. */
export async function fileSource(path: string): Promise<TensorSource> {
  const header = await readHeader(path);
  return {
    tensors: header.tensors,
    async read(name, begin = 0, end = Number.MAX_SAFE_INTEGER) {
      const info = header.tensors.get(name);
      if (info === undefined) throw new ModelError("tensor-missing", `${path}: no tensor "${name}"`, { name });
      const from = info.begin + Math.min(begin, info.end - info.begin);
      return readRange(path, header.dataOffset + from, Math.min(end, info.end - info.begin) - (from - info.begin));
    },
  };
}

/** The checkpoint of a model folder: model.safetensors, or its shards by index. */
export async function folderSource(folder: string): Promise<TensorSource> {
  const single = join(folder, "model.safetensors");
  if (await fileExists(single)) return fileSource(single);
  const indexPath = join(folder, "model.safetensors.index.json");
  if (!(await fileExists(indexPath))) {
    throw new ModelError("checkpoint-missing", `${folder}: found neither model.safetensors nor model.safetensors.index.json; convert the checkpoint to safetensors first`, { folder });
  }
  const index = await readJson(indexPath);
  const map = typeof index === "object" && index !== null && "weight_map" in index ? index.weight_map : undefined;
  if (typeof map !== "object" || map === null || !Object.values(map).every((file): file is string => typeof file === "string" && basename(file) === file)) {
    throw new ModelError("index-malformed", `${indexPath}: expected "weight_map" from tensor names to file names in the same folder`, { indexPath });
  }
  return shardedSource(folder, map as Record<string, string>, indexPath);
}

async function shardedSource(folder: string, map: Readonly<Record<string, string>>, indexPath: string): Promise<TensorSource> {
  const shards = new Map<string, TensorSource>();
  for (const file of new Set(Object.values(map))) {
    const path = join(folder, file);
    if (!(await fileExists(path))) throw new ModelError("shard-missing", `${indexPath}: names the shard ${file}, which is not in the folder; download it`, { file });
    shards.set(file, await fileSource(path));
  }
  const owners = new Map<string, TensorSource>();
  for (const [name, file] of Object.entries(map)) {
    const shard = shards.get(file)!;
    if (!shard.tensors.has(name)) throw new ModelError("index-malformed", `${indexPath}: says that "${name}" is in ${file}, where it is not`, { name, file });
    owners.set(name, shard);
  }
  return {
    tensors: new Map([...owners].map(([name, shard]) => [name, shard.tensors.get(name)!])),
    read(name, begin, end) {
      const owner = owners.get(name);
      if (owner === undefined) throw new ModelError("tensor-missing", `${indexPath}: no tensor "${name}"`, { name });
      return owner.read(name, begin, end);
    },
  };
}

async function readHeader(path: string): Promise<SafetensorsHeader> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const first8 = new Uint8Array(8);
    const { bytesRead } = await file.read(first8, 0, 8, 0);
    const length = safetensorsHeaderLength(first8.subarray(0, bytesRead), size);
    const prefix = new Uint8Array(8 + length);
    await file.read(prefix, 0, prefix.length, 0);
    return parseSafetensorsHeader(prefix, size);
  } finally {
    await file.close();
  }
}

async function readRange(path: string, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const file = await open(path);
  try {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), position + done);
      if (bytesRead === 0) throw new ModelError("file-truncated", `${path}: it ended while a tensor was being read; was it changed?`, { path });
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
  return bytes;
}
