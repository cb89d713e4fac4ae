/**
 * The CPU device under a whole model: low precision keeps the predictions, memory does not grow, loading needs little
 * memory, steps keep their bits.
 */
import { fileURLToPath } from "node:url";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { fc, test } from "@fast-check/vitest";
import { attachHeads, createPolicy, generate, loadModel, type Model, trainHeads } from "early-exits";
import { scope } from "early-exits/tensor";
import { weightDtypes } from "../../../src/tensor/device.js";
import { advance, Sequence } from "early-exits/model";
import type { ModelError } from "../../../src/errors.js";
import { createDevice, readModel } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { benchShapes, randomModel, randomSource } from "../../../lab/speed/models.js";
import { embeddedTestDocuments, measureQuality } from "../../../lab/speed/quality.js";
import { giveProjections, randomIds, smallConfigs, smallModel } from "../../support/models.js";

const embedded = fileURLToPath(new URL("../../../models/sotu-6", import.meta.url));
type Sized = Awaited<ReturnType<typeof createDevice>> & { memory(): { used: number; size: number } };
const wasm = async (): Promise<Sized> => (await createDevice("wasm")) as Sized;

/** States of the last position after each block, and the logits, token by token or all at once. */
async function trace(model: Model, ids: readonly number[], oneByOne: boolean): Promise<Float32Array[]> {
  const { numLayers } = model.config;
  const sequence = new Sequence(model, 4);
  const logits: Float32Array[] = [];
  const take = async (position: number): Promise<void> => {
    const row = scope(() => model.unembed(sequence.hidden(position)));
    logits.push(await row.read());
    row.dispose();
  };
  if (!oneByOne) sequence.append(...ids);
  for (const [position, id] of ids.entries()) {
    if (oneByOne) sequence.append(id);
    if (oneByOne || position === 0) advance(model, [{ sequence, positions: sequence.pending(numLayers) }], numLayers);
    await take(position);
  }
  sequence.dispose();
  return logits;
}

describe("wasm under a whole model", () => {
  test.prop(
    [
      fc.constantFrom(...Object.keys(smallConfigs)),
      fc.constantFrom(...weightDtypes),
      fc.constantFrom("relaxed", "portable"),
      fc.integer({ min: 2, max: 20 }),
      fc.nat(),
    ],
    { numRuns: 40 },
  )(
    "decoding one by one has the bits of one batch, for every family, weight type and build",
    async (name, dtype, build, length, seed) => {
      const device = await createDevice("wasm", { build: build as "portable" });
      const model = await smallModel({ config: smallConfigs[name]!, device, dtype });
      const ids = randomIds(length, 61, seed);
      expect(await trace(model, ids, true)).toEqual(await trace(model, ids, false));
      await device.dispose();
    },
  );

  it(
    "bfloat16 weights of a bfloat16 checkpoint change nothing; int8 and int4 keep predictions and perplexity",
    { timeout: 60_000 },
    async () => {
      const [float32, bfloat16, int8, int4] = await measureQuality(
        embedded,
        (await embeddedTestDocuments()).slice(0, 40),
      );
      expect(bfloat16!.agreement).toBeGreaterThan(0.999);
      expect(int8!.agreement).toBeGreaterThan(0.97);
      expect(int8!.perplexity / float32!.perplexity).toBeLessThan(1.01);
      expect(int4!.agreement).toBeGreaterThan(0.9);
      expect(int4!.perplexity / float32!.perplexity).toBeLessThan(1.03);
    },
  );

  it(
    "10,000 decoded tokens, with and without exits, leave no byte behind and grow no memory",
    { timeout: 60_000 },
    async () => {
      const device = await wasm();
      const model = await smallModel({ device });
      const heads = attachHeads(model, { exits: 2, kind: "linear" });
      await giveProjections(heads);
      const policies = [undefined, createPolicy(heads, 1), createPolicy(heads, 1, { fill: "project" })];
      const write = async (tokens: number): Promise<void> => {
        for (let done = 0, turn = 0; done < tokens; turn++) {
          const policy = policies[turn % 3];
          const run = generate(heads, [1 + (turn % 50)], {
            maxNewTokens: 90,
            stopAtEndOfText: false,
            ...(policy && { policy }),
          });
          for await (const token of run) {
            if (token.depth > 0) done++;
          }
        }
      };
      await write(270); // the first of each kind sizes the buffers
      const before = device.memory();
      await write(10_000);
      expect(device.memory()).toEqual(before);
      heads.dispose();
      model.dispose();
      expect(before.used - device.memory().used).toBeGreaterThan(4 * 24 * 61 * 2); // the weights at least
      await device.dispose();
    },
  );

  it("loading takes at most 1.3 times the weights", async () => {
    for (const dtype of weightDtypes) {
      const device = await wasm();
      const empty = device.memory().used;
      const model = await randomModel(benchShapes["gpt2 27M"]!, device, dtype);
      const weights = 27.5e6 * { float32: 4, bfloat16: 2, int8: 1.125, int4: 0.75 }[dtype];
      expect(device.memory().used - empty).toBeLessThan(1.1 * weights);
      expect(device.memory().size).toBeLessThan(1.3 * weights + 4e6);
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
      const loaded = async (dtype: string): Promise<number> => {
        const { stdout } = await promisify(execFile)(
          process.execPath,
          ["--import", "tsx", "--input-type=module", "-e", script, dtype],
          { cwd: join(import.meta.dirname, "../../..") },
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

  it("everything is freed by dispose: a model, its heads and their training leave no byte", async () => {
    const device = await wasm();
    const life = async (): Promise<void> => {
      const model = await readModel(embedded, { device });
      const heads = attachHeads(model, { exits: 2, kind: "linear" });
      await trainHeads(heads, [Array.from({ length: 60 }, (_, i) => (7 * i) % 250)], {
        steps: 2,
        batchSize: 1,
        sequenceLength: 32,
      });
      for await (const token of generate(heads, [1, 2], { maxNewTokens: 5, stopAtEndOfText: false })) {
        expect(token.depth).toBeGreaterThan(0);
      }
      heads.dispose();
      model.dispose();
    };
    await life(); // working memory stays with the device
    const { used } = device.memory();
    await life();
    expect(device.memory().used).toBe(used);
    await device.dispose();
  });

  it("a model too large for 32-bit addresses is refused before any of it is read, with what would fit", async () => {
    const device = await wasm();
    const empty = device.memory().used;
    const config = {
      model_type: "llama",
      hidden_size: 2048,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      intermediate_size: 8192,
      vocab_size: 128_256,
      max_position_embeddings: 2048,
      tie_word_embeddings: true,
    };
    const source = {
      // As many and as large as the configuration asks for; their names do not matter before they are read.
      tensors: new Map(
        Array.from({ length: 160 }, (_, i) => [`${i}`, { dtype: "BF16" as const, shape: [128_256, 2048] }]),
      ),
      read: (): never => {
        throw new Error("read");
      },
    };
    await expect(loadModel(config, source, { device })).rejects.toMatchObject({
      code: "model-too-large",
      message:
        "loadModel: the weights take 4.9 GB as float32, and the memory of the wasm device ends at 4.3 GB; load " +
        'it with dtype: "bfloat16" (2.5 GB)',
    });
    await expect(loadModel({ ...config, num_hidden_layers: 160 }, source, { device, dtype: "int8" })).rejects.toThrow(
      /use a smaller model$/,
    );
    expect(device.memory().used).toBe(empty);
    await device.dispose();
  });

  it("a model that cannot be read to its end leaves nothing behind", async () => {
    const device = await wasm();
    const empty = device.memory().used;
    const config = benchShapes["gpt2 27M"]!;
    const source = randomSource(benchShapes["gpt2 27M"]!, 1);
    expect(
      source.tensors.delete([...source.tensors.keys()].find((name) => name.endsWith("h.5.mlp.c_proj.weight"))!),
    ).toBe(true);
    const code = await loadModel(config, source, { device }).then(
      () => undefined,
      (error: unknown) => (error as ModelError).code,
    );
    expect(code).toBe("tensor-missing");
    expect(device.memory().used - empty).toBeLessThan(8e6); // working memory
    await device.dispose();
  });
});
