/**
 * The law suite over every kernel of a device: results lie within derived tolerances of the reference device, rows
 * computed together have the bits of rows computed alone, and the bits of the first call are those of the thousandth
 * (engines recompile hot code). A failure prints the seed and path that replay it.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device, Kernels, Storage } from "../../src/tensor/device.js";
import { createReferenceDevice } from "../../src/tensor/reference/reference-device.js";
import { attentionLaws } from "./kernels/attention.js";
import { elementwiseLaws } from "./kernels/elementwise.js";
import { type AnyLaw, type KernelLaw, type KernelTolerances, rowOf } from "./kernels/law.js";
import { lossLaws } from "./kernels/losses.js";
import { movementLaws } from "./kernels/movement.js";
import { productLaws } from "./kernels/products.js";
import { rowLaws } from "./kernels/rows.js";
import { itKeepsWhatIsStored } from "./kernels/storage.js";
import { fc, test } from "../support/property.js";

export type { KernelTolerances } from "./kernels/law.js";

export const kernelLaws: readonly AnyLaw[] = [
  ...productLaws,
  ...elementwiseLaws,
  ...movementLaws,
  ...rowLaws,
  ...lossLaws,
  ...attentionLaws,
];

const reference = createReferenceDevice();

export interface LawOptions {
  /** Random cases per law. @default 40 */
  readonly runs?: number;
  /**
   * Repetitions of a case after which the engine has recompiled every kernel; 0 for devices that never recompile.
   * @default 20
   */
  readonly hot?: number;
}

export function describeKernelLaws(
  name: string,
  createDevice: () => Promise<Device>,
  tolerances: KernelTolerances,
  { runs = 40, hot = 20 }: LawOptions = {},
) {
  describe(`kernels of ${name}`, () => {
    let device: Device;
    const cases = hot === 0 ? 1 : 3;
    const firstBits = new Map<AnyLaw, Uint32Array[]>();
    beforeAll(async () => {
      device = await createDevice();
      // Before anything has run often: the bits of one fixed case per law.
      for (const law of kernelLaws) firstBits.set(law, await bitsOf(device, law, cases));
    });
    afterAll(() => device.dispose());

    it("are all covered by a law", () => {
      const covered = new Set(kernelLaws.map(({ kernel }) => kernel));
      expect(Object.keys(device.kernels).filter((kernel) => !covered.has(kernel as keyof Kernels))).toEqual([]);
    });

    itKeepsWhatIsStored(() => device, reference, Math.ceil(2.5 * runs));

    for (const law of kernelLaws) {
      const title = law.variant === undefined ? law.kernel : `${law.kernel} (${law.variant})`;
      const also = law.rows === undefined ? "" : ", and gives k rows together the bits of one by one";
      test.prop([law.cases], { numRuns: runs })(`${title} agrees with the reference${also}`, async (c) => {
        const together = await agree(device, law, c, tolerances);
        if (device.info.batchIndependent) await rowsAgree(device, law, c, together);
      });
    }

    it("keep their bits when the engine recompiles hot code", async () => {
      for (const law of kernelLaws) {
        for (const c of fixed.get(law)!) {
          for (let i = 0; i < hot; i++) run(device, law, c).free();
        }
        expect(await bitsOf(device, law, cases), law.kernel).toEqual(firstBits.get(law));
      }
    });
  });
}

const fixed = new Map(kernelLaws.map((law) => [law, fc.sample(law.cases, { numRuns: 3, seed: 7 })]));

/** Bits of all outputs of so many of a law's fixed cases. */
async function bitsOf(device: Device, law: AnyLaw, cases: number) {
  const bits = [];
  for (const c of fixed.get(law)!.slice(0, cases)) {
    for (const data of Object.values(await compute(device, law, c))) bits.push(bitsIn(data));
  }
  return bits;
}

function bitsIn(data: Float32Array) {
  return new Uint32Array(data.buffer, data.byteOffset, data.length);
}

/** Runs a case; `free` frees what it made and what it uploaded (some outputs are uploads changed in place). */
function run(device: Device, law: AnyLaw, c: never) {
  const made = new Set<Storage>();
  const outputs = law.run(
    {
      kernels: device.kernels,
      upload(data) {
        const storage = device.upload(data);
        made.add(storage);
        return storage;
      },
      createPacked: (...given) => device.createPacked(...given),
      packRows: (...given) => device.packRows(...given),
      freePacked: (packed) => device.freePacked(packed),
      createCache: (...given) => device.createCache(...given),
      freeCache: (cache) => device.freeCache(cache),
    },
    c,
  );
  for (const storage of Object.values(outputs)) made.add(storage);
  return { outputs, free: () => made.forEach((storage) => device.free(storage)) };
}

async function compute(device: Device, law: AnyLaw, c: never) {
  const ran = run(device, law, c);
  const result: Record<string, Float32Array> = {};
  for (const [name, storage] of Object.entries(ran.outputs)) result[name] = (await device.read(storage)).slice();
  ran.free();
  return result;
}

type Computed = Readonly<Record<string, Float32Array>>;

/** Returns what the device computed. */
async function agree(device: Device, law: KernelLaw<never>, c: never, tolerances: KernelTolerances) {
  const expected = await compute(reference, law, c);
  const found = await compute(device, law, c);
  const bounds = law.bounds?.(c, { tolerances, reference, expected }) ?? {};
  for (const [name, values] of Object.entries(expected)) {
    const output = found[name]!;
    if (output.length !== values.length) {
      throw new Error(`${law.kernel}: ${name} has ${output.length} elements, expected ${values.length}`);
    }
    for (let i = 0; i < values.length; i++) {
      const bound = bounds[name]?.[i] ?? 0;
      const error = Math.abs(output[i]! - values[i]!);
      if (!(error <= bound) && output[i] !== values[i]) {
        throw new Error(
          `${law.kernel}: ${name}[${i}] is ${output[i]!}, expected ${values[i]!}, off by ${error}, ${bound} is allowed`,
        );
      }
    }
  }
  return found;
}

async function rowsAgree(device: Device, law: KernelLaw<never>, c: never, together: Computed) {
  const split = law.rows;
  const rows = split?.count(c) ?? 0;
  if (split === undefined || rows < 2) return;
  for (let row = 0; row < rows; row++) {
    const alone = await compute(device, law, split.pick(c, row));
    for (const [name, data] of Object.entries(alone)) {
      const own = bitsIn(data);
      const mixed = bitsIn(rowOf(together[name]!, row, rows));
      for (let i = 0; i < own.length; i++) {
        if (own[i] !== mixed[i]) {
          throw new Error(
            `${law.kernel}: ${name}, element ${i} of row ${row}, has other bits alone (${data[i]!}) than ` +
              `among ${rows} rows (${rowOf(together[name]!, row, rows)[i]!})`,
          );
        }
      }
    }
  }
}
