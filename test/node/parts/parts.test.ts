/** Parts: written chunk by chunk, read together, and refused if they are not one run's. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fc, test } from "@fast-check/vitest";
import { afterAll, describe, expect, it } from "vitest";
import { ShardError } from "../../../src/errors.js";
import { collectParts, commandOf, type PartRun, writePart } from "../../../src/node/parts/index.js";

const root = mkdtempSync(join(tmpdir(), "early-exits-parts-"));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
let folders = 0;
const fresh = (): string => join(root, String(folders++));

const run: PartRun = { command: "count", round: "units", units: 10, chunk: 3, made: { text: "a", build: "simd" } };
/** What is recorded of units. */
const make = (units: readonly number[]): Promise<Uint8Array> =>
  Promise.resolve(new TextEncoder().encode(units.map((unit) => `<${unit}>`).join("")));

async function all(folder: string, of: number, { units, ...rest }: PartRun = run): Promise<void> {
  for (let index = 0; index < of; index++) await writePart(folder, { index, of }, { units, ...rest }, make);
}

/** The bytes of every unit, read from all parts. */
async function read(folder: string): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for await (const { units, bytes } of (await collectParts(folder, "units")).chunks()) {
    const texts = new TextDecoder().decode(bytes).match(/<\d+>/g)!;
    expect(texts).toHaveLength(units.length);
    for (const [i, unit] of units.entries()) found.set(unit, texts[i]!);
  }
  return found;
}

test.prop([fc.integer({ min: 1, max: 5 }), fc.nat({ max: 12 }), fc.integer({ min: 1, max: 4 }), fc.nat({ max: 4 })], {
  numRuns: 25,
})("parts hold every unit once, also if a process is killed and started again", async (of, units, chunk, survived) => {
  const folder = fresh();
  for (let index = 0; index < of; index++) {
    const work = { ...run, units, chunk };
    let made = 0;
    const killed = writePart(folder, { index, of }, work, (own) => {
      if (made++ === survived) throw new Error("killed");
      return make(own);
    });
    await killed.catch((error: unknown) => {
      expect(error).toHaveProperty("message", "killed");
    });
    const first = made;
    await writePart(folder, { index, of }, work, (own) => {
      made++;
      return make(own);
    });
    // Nothing that was complete is made again; the chunk in work when the process was killed is made twice.
    const own = Math.max(0, Math.ceil((Math.ceil(units / chunk) - index) / of));
    expect(made - (first > survived ? 1 : 0)).toBe(own);
    expect(await writePart(folder, { index, of }, work, () => Promise.reject(new Error("complete")))).toBe(true);
  }
  expect(await read(folder)).toEqual(new Map(Array.from({ length: units }, (_, unit) => [unit, `<${unit}>`])));
});

describe("collectParts refuses", () => {
  /** The error of reading everything. */
  async function refusal(folder: string): Promise<ShardError> {
    const error: unknown = await read(folder).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ShardError);
    return error as ShardError;
  }

  it("a folder without parts", async () => {
    const folder = fresh();
    await expect(commandOf(folder)).rejects.toMatchObject({ code: "parts-none" });
    expect(await refusal(folder)).toMatchObject({ code: "parts-missing" });
  });

  it("missing shards, by their numbers", async () => {
    const folder = fresh();
    await all(folder, 4);
    rmSync(join(folder, "units-00001-of-00004"), { recursive: true });
    rmSync(join(folder, "units-00003-of-00004", "complete.json"));
    expect(await refusal(folder)).toMatchObject({ code: "parts-missing", details: { missing: [1, 3] } });
  });

  it("a shard that is there twice", async () => {
    const folder = fresh();
    await all(folder, 2);
    cpSync(join(folder, "units-00001-of-00002"), join(folder, "copy"), { recursive: true });
    expect(await refusal(folder)).toMatchObject({ code: "part-twice", details: { index: 1, of: 2 } });
  });

  it.each([
    [{ made: { text: "b", build: "simd" } }, "made.text"],
    [{ made: { text: "a", build: "relaxed" } }, "made.build"],
    [{ units: 11 }, "units"],
  ])("parts of another run: %j", async (change, difference) => {
    const folder = fresh();
    await writePart(folder, { index: 0, of: 2 }, run, make);
    await writePart(folder, { index: 1, of: 2 }, { ...run, ...change }, make);
    const error = await refusal(folder);
    expect(error).toMatchObject({ code: "part-foreign", details: { differences: [difference] } });
    expect(error.message).toContain(difference);
  });

  it("parts of another number of shards, and of another command", async () => {
    const folder = fresh();
    await all(folder, 2);
    await writePart(folder, { index: 0, of: 3 }, run, make);
    expect(await refusal(folder)).toMatchObject({
      code: "part-foreign",
      details: { differences: ["the number of shards"] },
    });
    await writePart(folder, { index: 0, of: 3 }, { ...run, command: "list", round: "lines" }, make);
    await expect(commandOf(folder)).rejects.toMatchObject({ code: "part-foreign" });
  });

  it("every changed byte of a part", async () => {
    const folder = fresh();
    await all(folder, 2);
    const place = join(folder, "units-00001-of-00002");
    for (const name of readdirSync(place)) {
      const path = join(place, name);
      const bytes = readFileSync(path);
      for (const at of [0, bytes.length >> 1, bytes.length - 2]) {
        const changed = Uint8Array.from(bytes);
        changed[at]! ^= 1;
        writeFileSync(path, changed);
        const { code } = await refusal(folder);
        expect(["part-damaged", "part-foreign", "parts-missing"], `${name} at ${at}`).toContain(code);
      }
      writeFileSync(path, bytes.subarray(0, -1 - (bytes.length >> 1)));
      expect((await refusal(folder)).code).toBe("part-damaged");
      writeFileSync(path, bytes);
    }
    expect((await read(folder)).size).toBe(run.units);
  });
});

it("a part does not go where one of another run is", async () => {
  const folder = fresh();
  await writePart(folder, { index: 0, of: 1 }, run, make);
  const other = { ...run, made: { text: "b", build: "simd" } };
  await expect(writePart(folder, { index: 0, of: 1 }, other, make)).rejects.toMatchObject({ code: "part-foreign" });
});
