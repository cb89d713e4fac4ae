/** Files that are no text, or no files: each is refused at once, with what it is and what to do. */
import { execFileSync } from "node:child_process";
import { lstat, mkdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readModel, readText, writeFileAtomic } from "early-exits/node";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";
import { scratch } from "../support/scratch.js";

const folder = scratch();

const written = async (name: string, data: string | Uint8Array) => {
  await writeFile(folder.path(name), data);
  return folder.path(name);
};

describe("readText", () => {
  it("names the format of a file that holds no text", async () => {
    const cases: [string, string | Uint8Array, RegExp][] = [
      ["book.txt", "%PDF-1.7 …", /a PDF; convert it first/],
      ["book.epub", "PK\u0003\u0004…", /a zip archive/],
      ["book.txt.gz", Uint8Array.of(0x1f, 0x8b, 8, 0), /gzip; unpack it first/],
      ["model.gguf", "GGUF\u0003\0\0\0", /holds a model/],
      ["noise", Uint8Array.from({ length: 400 }, (_, i) => (i * 131) % 256), /binary, or not in UTF-8/],
      ["latin1.txt", Uint8Array.from({ length: 400 }, (_, i) => (i % 10 === 0 ? 0xe9 : 97)), /not in UTF-8/],
    ];
    for (const [name, data, message] of cases) {
      await expect(readText(await written(name, data))).rejects.toThrow(message);
    }
  });

  it("takes text with a byte order mark, other scripts, and one damaged place", async () => {
    expect(await readText(await written("bom.txt", "\ufeffHej, 世界"))).toBe("Hej, 世界");
    const damaged = new Uint8Array(1000).fill(97);
    damaged[500] = 0xff;
    expect((await readText(await written("damaged.txt", damaged))).length).toBe(1000);
  });

  it("does not wait for a pipe, and does not read a folder", async () => {
    const pipe = folder.path("pipe");
    execFileSync("mkfifo", [pipe]);
    await expectCode(readText(pipe), "file-irregular");
    await expect(readText(folder.path())).rejects.toThrow(/is a folder; give the path of a file/);
  });

  it("refuses a file that is too large before it reads it", async () => {
    const path = await written("sparse.txt", "");
    await truncate(path, 3e9);
    await expectCode(readText(path), "file-too-large");
  });
});

it("no file is written in place of a pipe, a link or a folder", async () => {
  const places = ["pipe to keep", "link", "dangling", "kept folder"].map((name) => folder.path(name));
  execFileSync("mkfifo", [places[0]!]);
  await symlink(await written("target.json", "kept"), places[1]!);
  await symlink(folder.path("nothing"), places[2]!);
  await mkdir(places[3]!);
  const kinds = async () => Promise.all(places.map(async (place) => (await lstat(place)).mode));
  const before = await kinds();
  for (const place of places) await expectCode(writeFileAtomic(place, "new"), "file-irregular");
  expect(await kinds()).toEqual(before);
  expect(await readText(places[1]!)).toBe("kept");
});

it.each(["/proc/none/file", "/dev/null/folder/file"])("nothing is written to %s, and nothing waits", async (path) => {
  await expectCode(writeFileAtomic(path, "new"), "file-unwritable");
});

it("a model folder with irregular files is refused, not waited for", async () => {
  const device = createReferenceDevice();
  const model = folder.path("model");
  await mkdir(model);
  execFileSync("mkfifo", [join(model, "config.json")]);
  await expectCode(readModel(model, { device }), "file-irregular");
  await rm(join(model, "config.json"));
  await mkdir(join(model, "config.json"));
  await expect(readModel(model, { device })).rejects.toThrow(/config\.json: is a folder/);
});
