/** The loop of every training run: it reports, saves, stops and resumes. */
import { backward, createReferenceDevice, sum, Tensor } from "early-exits/tensor";
import { mul } from "../../../src/tensor/ops/arithmetic.js";
import { expect, it } from "vitest";
import { runSteps, type StepProgress } from "../../../src/tensor/optim/run-steps.js";
import { expectCode } from "../../support/expect-code.js";

const device = createReferenceDevice();
const parameter = () => Tensor.from(device, [3, -2], [2], { requiresGrad: true });

interface Extra {
  readonly every?: number | ((step: number) => boolean);
  readonly resume?: Uint8Array;
  readonly signal?: AbortSignal;
  readonly onStep?: (event: StepProgress) => unknown;
  readonly onCheckpoint?: (bytes: Uint8Array, step: number) => void;
  /** The losses of a step. @default one of 0 */
  readonly losses?: (step: number) => readonly number[];
  /** @default 1 */
  readonly maxGradientNorm?: number;
}

/** Minimises the sum of squares in five steps of ten tokens; the clock advances by half a second at each reading. */
async function run(
  weights: Tensor,
  { every = 2, resume, onCheckpoint, onStep, signal, losses = () => [0], maxGradientNorm = 1 }: Extra = {},
) {
  const done: number[] = [];
  let milliseconds = 0;
  const result = await runSteps({
    caller: "run",
    nameOf: (part) => `part ${part}`,
    parameters: [weights],
    adamw: { weightDecay: 0, maxGradientNorm },
    steps: 5,
    schedule: (step) => 0.1 / (step + 1),
    gradients: (step) => {
      done.push(step);
      backward(sum(mul(weights, weights)));
      return Promise.resolve({ tokens: 10, losses: losses(step) });
    },
    event: (progress) => progress,
    onStep,
    checkpoints: { description: { format: "test" }, resume, onCheckpoint, every },
    signal,
    now: () => (milliseconds += 500),
  });
  return { ...result, done };
}

it("runs every step once and reports progress, throughput and the time left", async () => {
  const events: StepProgress[] = [];
  const { last, tokens, done } = await run(parameter(), { onStep: (event) => events.push(event) });
  expect(done).toEqual([0, 1, 2, 3, 4]);
  expect(tokens).toBe(50);
  expect(last).toBe(events.at(-1));
  expect(events.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
  expect(events[0]!.gradientNorm).toBeCloseTo(Math.hypot(6, 4), 5);
  expect(events[1]).toMatchObject({ steps: 5, learningRate: 0.05, tokensPerSecond: 20, timeLeft: 1.5 });
});

it("saves when asked to, and after the last step", async () => {
  const saved: number[] = [];
  const onCheckpoint = (_bytes: Uint8Array, step: number) => void saved.push(step);
  await run(parameter(), { every: 2, onCheckpoint });
  await run(parameter(), { every: (step) => step === 1, onCheckpoint });
  expect(saved).toEqual([2, 4, 5, 1, 5]);
});

it("stops when aborted, resumes bit for bit, only from steps 0 to 5; throughput is that of its own steps", async () => {
  const whole = parameter();
  await run(whole);
  let checkpoint: Uint8Array | undefined;
  const stop = new AbortController();
  const aborted = run(parameter(), {
    signal: stop.signal,
    onStep: ({ step }) => {
      if (step === 3) stop.abort(new Error("power cut"));
    },
    onCheckpoint: (bytes) => (checkpoint = bytes),
  });
  await expect(aborted).rejects.toThrow("power cut");
  const resumed = parameter();
  const { done, tokens, last } = await run(resumed, { resume: checkpoint! });
  expect(done).toEqual([2, 3, 4]);
  expect(await resumed.read()).toEqual(await whole.read());
  expect(tokens).toBe(30);
  expect(last).toMatchObject({ tokensPerSecond: 20, timeLeft: 0 });
  for (const steps of ["6", "x"]) {
    const resume = Buffer.from(
      Buffer.from(checkpoint!).toString("latin1").replace('step":"2', `step":"${steps}`),
      "latin1",
    );
    await expectCode(run(parameter(), { resume }), "checkpoint-damaged", "expected 0 to 5");
  }
});

it("ends before a step whose loss is not finite, with the weights of the last whole step", async () => {
  for (const bad of [NaN, Infinity]) {
    const weights = parameter();
    let before: Float32Array | undefined;
    const saved: number[] = [];
    const ended = run(weights, {
      every: 1,
      losses: (step) => [0, step === 3 ? bad : 1],
      onStep: async () => (before = (await weights.read()).slice()),
      onCheckpoint: (_bytes, step) => void saved.push(step),
    });
    await expect(ended).rejects.toMatchObject({
      name: "NumericsError",
      code: "loss-non-finite",
      details: { step: 4, part: 1 },
    });
    expect(await weights.read()).toEqual(before);
    expect(weights.grad).toBeUndefined();
    expect(saved).toEqual([1, 2, 3]);
  }
});

it("ends if the gradient or a weight is not finite, and saves nothing of it", async () => {
  const infinite = () => Tensor.from(device, [3e38, 1], [2], { requiresGrad: true }); // twice that overflows
  const clipped = infinite();
  await expectCode(run(clipped), "gradient-non-finite");
  expect(await clipped.read()).toEqual(Float32Array.of(3e38, 1));
  const saved: number[] = [];
  const options = {
    every: 1,
    maxGradientNorm: 0,
    onCheckpoint: (_: Uint8Array, step: number) => void saved.push(step),
  };
  await expectCode(run(infinite(), options), "weights-non-finite");
  expect(saved).toEqual([]);
});
