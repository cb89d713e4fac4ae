/** Heads are made once, whoever asks first, and also if somebody who asked gives up. */
import { attachHeads } from "early-exits";
import { createDevice } from "early-exits/node";
import { expect, it } from "vitest";
import { smallModel } from "../../support/models.js";
import { abortedAtCheck } from "../../support/signals.js";

const device = await createDevice("wasm", { threads: 1 });
const shape = { exits: [1, 2], kind: "linearPreview", seed: 3 } as const;

it("a signal ends it with its reason, leaves no memory behind, and asking again makes the same heads", async () => {
  const model = await smallModel({ device });
  const whole = attachHeads(model, shape);
  const hash = await whole.hash();
  const { used } = device.memory!();
  for (const checks of [1, 2, 5, 50]) {
    const heads = attachHeads(model, shape);
    const reason = new Error(`enough at ${checks}`);
    await expect(heads.ready(abortedAtCheck(checks, reason))).rejects.toBe(reason);
    expect(await heads.hash()).toBe(hash);
    heads.dispose();
    expect(device.memory!().used).toBe(used);
  }
});

it("a signal of another caller ends nobody else's waiting", async () => {
  const heads = attachHeads(await smallModel({ device }), shape);
  const controller = new AbortController();
  const reason = new Error("enough");
  const first = heads.ready(controller.signal);
  const second = heads.ready();
  controller.abort(reason);
  const outcomes = await Promise.allSettled([first, second]);
  expect(outcomes).toEqual([
    { status: "rejected", reason },
    { status: "fulfilled", value: undefined },
  ]);
  expect(heads.parameters.length).toBeGreaterThan(0);
});
