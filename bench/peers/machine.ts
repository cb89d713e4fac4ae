/** What the figures were measured on, for the head of the report. */
import { readFile } from "node:fs/promises";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly v8: string;
  /** Processes running or waiting, mean of the minute before the run. Above 0, others were at work. */
  readonly loadBefore: number;
  /** Installed versions of the peers. */
  readonly versions: Readonly<Record<string, string>>;
}

const packages = ["onnxruntime-node", "onnxruntime-web", "node-llama-cpp"] as const;

export async function describeMachine(): Promise<Machine> {
  const versions = await Promise.all(packages.map(async (name) => [name, await installedVersion(name)] as const));
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    v8: process.versions.v8,
    loadBefore: loadavg()[0]!,
    versions: Object.fromEntries(versions),
  };
}

async function installedVersion(name: string): Promise<string> {
  const path = join(import.meta.dirname, "node_modules", name, "package.json");
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? "not installed" : (JSON.parse(text) as { version: string }).version;
}
