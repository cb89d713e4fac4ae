/** The installed versions of the peers, for the head of the report. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const packages = ["onnxruntime-node", "node-llama-cpp"] as const;

export async function installedVersions(): Promise<Readonly<Record<string, string>>> {
  return Object.fromEntries(
    await Promise.all(packages.map(async (name) => [name, await installedVersion(name)] as const)),
  );
}

async function installedVersion(name: string): Promise<string> {
  const path = join(import.meta.dirname, "node_modules", name, "package.json");
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? "not installed" : (JSON.parse(text) as { version: string }).version;
}
