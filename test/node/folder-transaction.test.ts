/**
 * Folders survive a kill at every step of writing: each call of the file system is made the last one in turn, and a
 * reader then finds the old files or the new ones, never a mixture, and nothing else.
 */
import type * as fs from "node:fs/promises";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkManifest } from "../../src/model/files/manifest.js";
import { temporaryName } from "../../src/node/files.js";
import { settleFolder, writeFolder } from "../../src/node/folder-transaction.js";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { diskFolder } from "../../src/node/disk-folder.js";
import { expectCode } from "../support/expect-code.js";

/** Calls that change files and are still possible; then the process is "killed", and every one fails. */
const life = vi.hoisted(() => ({ left: Infinity }));

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof fs>();
  const mortal =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A) => {
      if (life.left-- <= 0) throw new Error("killed");
      return call(...args);
    };
  const { writeFile: write, rename, rm: remove, mkdir } = real;
  return {
    ...real,
    writeFile: mortal(write as never),
    rename: mortal(rename),
    rm: mortal(remove),
    mkdir: mortal(mkdir as never),
  };
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "early-exits-"));
});
afterEach(async () => {
  life.left = Infinity;
  await rm(folder, { recursive: true, force: true });
});

const before = { "heads.json": "old heads", "heads.safetensors": "old weights" };
const after = { "heads.json": "new heads", "heads.safetensors": "new weights", "training.json": "new log" };

async function contents() {
  const names = (await readdir(folder)).filter((name) => name !== "manifest.json");
  const found: Record<string, string> = {};
  for (const name of names) found[name] = await readFile(join(folder, name), "utf8");
  return found;
}

/** Opens the folder in a new process, in which that of the writer no longer runs. */
async function openAnew() {
  life.left = Infinity;
  const kill = vi.spyOn(process, "kill").mockImplementation(() => {
    throw Object.assign(new Error("no such process"), { code: "ESRCH" });
  });
  await settleFolder(folder);
  kill.mockRestore();
}

it.each([
  ["the old files or the new ones", before],
  ["nothing or the files, if it is new", undefined],
])("holds %s, wherever the writer was killed", async (_, old) => {
  const outcomes = new Set<string>();
  for (let calls = 0; ; calls++) {
    await rm(folder, { recursive: true, force: true });
    if (old !== undefined) await writeFolder(folder, old);
    life.left = calls;
    const finished = await writeFolder(folder, after).then(
      () => true,
      () => false,
    );
    await openAnew();
    const found = await readdir(folder).then(contents, () => ({}));
    expect([old ?? {}, after]).toContainEqual(found);
    if (old !== undefined) await checkManifest(diskFolder(folder));
    outcomes.add(JSON.stringify(found));
    if (finished) break;
  }
  expect(outcomes.size).toBe(2);
});

it("is refused once a file of it was changed, cut or removed", async () => {
  const damage = {
    changed: () => writeFile(join(folder, "heads.json"), "mew heads"),
    cut: () => writeFile(join(folder, "heads.json"), "new"),
    removed: () => rm(join(folder, "heads.json")),
    "given an invalid manifest": () => writeFile(join(folder, "manifest.json"), '{"files": {"../x": 1}}'),
    "given none": () =>
      writeFile(join(folder, "manifest.json"), '{"format":"early-exits/manifest","version":1,"files":null}'),
  };
  for (const harm of Object.values(damage)) {
    await writeFolder(folder, after);
    await harm();
    await expectCode(checkManifest(diskFolder(folder)), "folder-damaged");
  }
});

it("is left alone if it is none, or in order", async () => {
  await settleFolder(join(folder, "absent"));
  await writeFile(join(folder, "note.txt"), "mine");
  await writeFile(join(folder, temporaryName("a.json")), "of a running process");
  await writeFile(join(folder, `a.json.${2 ** 30}-${crypto.randomUUID()}.tmp`), "of another machine");
  await settleFolder(folder);
  expect((await readdir(folder)).length).toBe(3);
});

it("has no folders of its own", () => expectCode(writeFolder(folder, { "logs/a.txt": "" }), "file-outside"));

it("does not lose what a running writer has prepared", async () => {
  await writeFile(join(folder, temporaryName("heads.json")), "not yet committed");
  await settleFolder(folder);
  expect(await readdir(folder)).toHaveLength(1);
});

it("loses the temporary files of processes that no longer run", async () => {
  await writeFile(join(folder, temporaryName("a.json", 2 ** 30)), "of a killed process");
  await settleFolder(folder);
  expect(await readdir(folder)).toEqual([]);
});
