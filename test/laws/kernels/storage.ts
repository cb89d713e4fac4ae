/**
 * Laws of a device's memory: what was written is read back, weights in any chunks, caches across copies of another
 * capacity.
 */
import { expect } from "vitest";
import { type CacheStorage, type Device, weightDtypes } from "../../../src/tensor/device.js";
import { seeds, values } from "./law.js";
import { times } from "../../support/lists.js";
import { between, fc, test } from "../../support/property.js";

const dtypes = fc.constantFrom(...weightDtypes);
const small = between(1, 40);

export function itKeepsWhatIsStored(open: () => Device, reference: Device, numRuns: number) {
  test.prop([fc.nat(70), seeds], { numRuns })("reads back what was uploaded and overwritten", async (length, seed) => {
    const device = open();
    const first = values(seed, "first", length);
    const second = values(seed, "second", length);
    const storage = device.upload(first);
    expect(await device.read(storage)).toEqual(first);
    device.write(storage, second);
    expect(await device.read(storage)).toEqual(second);
    device.free(storage);
  });

  test.prop([small, small, dtypes, small, seeds], { numRuns })(
    "reads back packed weights as rounded by their dtype, whatever the chunks",
    async (rows, columns, dtype, chunk, seed) => {
      const data = values(seed, "w", rows * columns);
      const stored = async (device: Device, step: number) => {
        const packed = device.createPacked(rows, columns, dtype);
        for (let row = 0; row < rows; row += step) {
          device.packRows(packed, row, data.slice(row * columns, Math.min(rows, row + step) * columns));
        }
        const result = await device.readPacked(packed);
        device.freePacked(packed);
        return result.map((value) => value + 0); // an int8 zero has no sign: -0 becomes 0
      };
      expect(await stored(open(), chunk)).toEqual(await stored(reference, rows));
    },
  );

  const cacheCases = fc.record({
    kvHeads: between(1, 3),
    headDim: small,
    positions: small,
    room: fc.nat(30),
    seed: seeds,
  });
  test.prop([cacheCases], { numRuns })(
    "copies caches to another capacity",
    async ({ kvHeads, headDim, positions, room, seed }) => {
      const device = open();
      const width = kvHeads * headDim;
      const rows = values(seed, "kv", positions * 2 * width);
      const from = device.createCache(kvHeads, headDim, positions);
      const to = device.createCache(kvHeads, headDim, positions + room);
      const kv = device.upload(rows);
      device.kernels.cacheWrite([{ cache: from, positions: times(positions, (i) => i) }], kv, undefined);
      device.copyCache(from, to, positions);
      const part = (offset: number, begin: number) =>
        Float32Array.from(
          { length: (positions - begin) * width },
          (_, i) => rows[2 * width * (begin + Math.floor(i / width)) + offset + (i % width)]!,
        );
      const check = async (cache: CacheStorage, begin: number) => {
        expect(await device.readCache(cache, begin, positions)).toEqual({
          keys: part(0, begin),
          values: part(width, begin),
        });
      };
      await check(from, 0);
      await check(to, 0);
      await check(to, positions >> 1);
      device.free(kv);
      device.freeCache(from);
      device.freeCache(to);
    },
  );
}
