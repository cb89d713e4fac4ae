/** Memory of a model: loading needs little more than the weights, and steps leave nothing behind. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { attachHeads, createPolicy, loadModel } from "early-exits";
import { createDevice } from "early-exits/node";
import { expect, it } from "vitest";
import { benchShapes, randomModel, randomSource } from "../../lab/speed/models.js";
import { weightDtypes } from "../../src/tensor/device.js";
import { expectCode } from "../support/expect-code.js";
import { generated } from "../support/generated.js";
import { giveProjections, smallModel } from "../support/models.js";

it(
  "10,000 decoded tokens, with and without exits, leave no byte behind and grow no memory",
  { timeout: 60_000 },
  async () => {
    const device = await createDevice("wasm");
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: 2, kind: "linear" });
    await giveProjections(heads);
    const policies = [undefined, createPolicy(heads, 1), createPolicy(heads, 1, { fill: "project" })];
    const write = async (tokens: number) => {
      for (let done = 0, turn = 0; done < tokens; turn++) {
        const policy = policies[turn % 3];
        const options = { maxNewTokens: 90, ...(policy && { policy }) };
        done += (await generated(heads, [1 + (turn % 50)], options)).ids.length;
      }
    };
    await write(270); // the first of each kind sizes the buffers
    const before = device.memory!();
    await write(10_000);
    expect(device.memory!()).toEqual(before);
    heads.dispose();
    model.dispose();
    expect(before.used - device.memory!().used).toBeGreaterThan(4 * 24 * 61 * 2); // the weights at least
    await device.dispose();
  },
);

it("loading takes at most 1.3 times the weights", async () => {
  for (const dtype of weightDtypes) {
    const device = await createDevice("wasm");
    const empty = device.memory!().used;
    const model = await randomModel(benchShapes["gpt2 27M"]!, device, dtype);
    const weights = 27.5e6 * { float32: 4, bfloat16: 2, int8: 1.125, int4: 0.75 }[dtype];
    expect(device.memory!().used - empty).toBeLessThan(1.1 * weights);
    expect(device.memory!().size).toBeLessThan(1.3 * weights + 4e6);
    model.dispose();
    await device.dispose();
  }
});

it(
  "loading 110 M weights takes the process at most 1.3 times their size, as float32 and as bfloat16",
  { timeout: 60_000 },
  async () => {
    // The most memory that the process held, uncollected garbage included. A float32 copy beside bfloat16 weights
    // would make it a factor of 3. On a busy machine the garbage collector starts late and leaves up to 70 MB more,
    // by chance: the least of three processes counts.
    const script = `
        import { createDevice } from "./src/node/index.ts";
        import { benchShapes, randomModel } from "./lab/speed/models.ts";
        const device = await createDevice("wasm");
        const { used } = device.memory();
        const { maxRSS } = process.resourceUsage();
        const model = await randomModel(benchShapes["llama 110M"], device, process.argv[1]);
        const grown = 1024 * (process.resourceUsage().maxRSS - maxRSS);
        console.log(grown / (device.memory().used - used), model.config.numLayers);`;
    const loaded = async (dtype: string) => {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--import", "tsx", "--input-type=module", "-e", script, dtype],
        { cwd: join(import.meta.dirname, "../..") },
      );
      return Number(stdout.split(" ")[0]);
    };
    for (const dtype of ["float32", "bfloat16"]) {
      let least = await loaded(dtype);
      for (let more = 2; more > 0 && !(least < 1.3); more--) least = Math.min(least, await loaded(dtype));
      expect(least, dtype).toBeLessThan(1.3);
    }
  },
);

it("a model that cannot be read to its end leaves nothing behind", async () => {
  const device = await createDevice("wasm");
  const empty = device.memory!().used;
  const config = benchShapes["gpt2 27M"]!;
  const source = randomSource(config, 1);
  expect(source.tensors.delete("transformer.h.5.mlp.c_proj.weight")).toBe(true);
  await expectCode(loadModel(config, source, { device }), "tensor-missing");
  expect(device.memory!().used - empty).toBeLessThan(8e6); // working memory
  await device.dispose();
});
