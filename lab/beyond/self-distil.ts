/**
 * Self-distillation: low-rank changes to all matrices of a frozen model, and a linear head at one depth, trained
 * together on the original model's answers by
 *     w KL(original || changed, full depth) + KL(original || changed, exit)
 * with the whole vocabulary. The changed model would replace the original, so agreement is always judged against the
 * original: at the exit, and at full depth for the tokens that stay.
 */
import type { ExitHeads } from "early-exits";
import { type ExitHead, measuredLevels } from "early-exits/exits";
import type { MarkedDocument } from "early-exits/model";
import {
  add,
  Adamw,
  backward,
  cosineSchedule,
  embedding,
  klDivergence,
  scale,
  scope,
  sum,
  type Tensor,
} from "early-exits/tensor";
import { coverageBeside, type Judged } from "./coverage.js";
import { LowRankModel } from "./low-rank.js";

export interface DistilRecipe {
  readonly rank: number;
  /** w: the weight of the full depth's loss. */
  readonly fullWeight: number;
  readonly learningRate: number;
  /** Conversations of a step. */
  readonly batchSize: number;
  /** Measurements, with one before the first step. */
  readonly points: number;
  readonly seed: number;
}

/** A measurement on held-out answers, against the original. */
export interface DistilPoint {
  /** Answer tokens seen. */
  readonly tokens: number;
  /** Shares of the positions at which the token is the original's. */
  readonly full: number;
  readonly exit: number;
  /** May leave at .99, .95, .90, .80; null where tokens that stay differ too often already. */
  readonly coverage: readonly (number | null)[];
}

export interface DistilCallbacks {
  readonly onPoint: (point: DistilPoint) => unknown;
  readonly onStep?: (event: DistilStep) => unknown;
}

export interface DistilStep {
  /** Steps done, 1..steps. */
  readonly step: number;
  readonly steps: number;
  /** Nats per answer token. */
  readonly loss: number;
  /** Answer tokens. */
  readonly tokensPerSecond: number;
}

/** Trains on every answer once; `heads` has one trainable head, and is trained along. */
export async function selfDistil(
  heads: ExitHeads,
  documents: readonly MarkedDocument[],
  held: readonly MarkedDocument[],
  { rank, fullWeight, learningRate, batchSize, points, seed }: DistilRecipe,
  { onPoint, onStep }: DistilCallbacks,
): Promise<void> {
  const { model } = heads;
  const [head] = heads.heads as [ExitHead];
  await heads.ready();
  await head.prepare();
  const changed = new LowRankModel(model, rank, seed);
  const adamw = new Adamw([...changed.parameters, ...head.parameters]);
  const steps = Math.floor(documents.length / batchSize);
  const schedule = cosineSchedule({ learningRate, steps, warmup: Math.ceil(steps / 20), final: 0.1 });
  const measureAt = Array.from({ length: points }, (_, i) => Math.round(((i + 1) * steps) / points));
  let tokens = 0;
  await onPoint(await measure(changed, head, held, tokens));
  for (let step = 0; step < steps; step++) {
    const batch = documents.slice(step * batchSize, (step + 1) * batchSize);
    const count = batch.reduce((total, { ids, from }) => total + ids.length - (from ?? 0), 0);
    const started = performance.now();
    let loss = 0;
    for (const { ids, from = 0 } of batch) {
      const value = scope(() => {
        const { final, exit, teacher } = passOf(changed, head, ids, from);
        const full = sum(klDivergence(teacher, model.unembed(final)));
        const early = sum(klDivergence(teacher, head.trainingLogitsOf(exit)));
        const total = add(scale(full, fullWeight), early);
        backward(scale(total, 1 / count));
        return total;
      });
      loss += (await value.read())[0]! / count;
      value.dispose();
    }
    await adamw.step(schedule(step));
    tokens += count;
    onStep?.({ step: step + 1, steps, loss, tokensPerSecond: (1000 * count) / (performance.now() - started) });
    if (measureAt.includes(step + 1)) await onPoint(await measure(changed, head, held, tokens));
  }
}

interface Pass {
  /** States [R, C] of the changed model at the positions that choose the answer's tokens. */
  readonly final: Tensor;
  readonly exit: Tensor;
  /** The original's logits [R, V] there. */
  readonly teacher: Tensor;
}

/** Both models on one conversation. */
function passOf(changed: LowRankModel, { depth }: ExitHead, ids: readonly number[], from: number): Pass {
  const { model } = changed;
  const { numLayers } = model.config;
  const counted = Array.from({ length: ids.length - from }, (_, r) => from + r);
  const teacher = model.unembed(embedding(model.forward(ids).get(numLayers)!, counted));
  const states = changed.states(ids, [depth, numLayers]);
  return { final: embedding(states.get(numLayers)!, counted), exit: embedding(states.get(depth)!, counted), teacher };
}

async function measure(
  changed: LowRankModel,
  head: ExitHead,
  held: readonly MarkedDocument[],
  tokens: number,
): Promise<DistilPoint> {
  const { model } = changed;
  const judged: Judged[] = [];
  for (const { ids, from = 0 } of held) {
    const logits = scope(() => {
      const { final, exit, teacher } = passOf(changed, head, ids, from);
      return [teacher, model.unembed(final), head.trainingLogitsOf(exit)];
    });
    const [original, full, exit] = await Promise.all(logits.map((one) => head.readConfidences(one)));
    for (const one of logits) one.dispose();
    for (const [r, { argmax }] of original!.entries()) {
      const { argmax: early, top1, top2 } = exit![r]!;
      judged.push({ score: top1 - top2, exitAgrees: early === argmax, fullAgrees: full![r]!.argmax === argmax });
    }
  }
  const share = (agrees: (one: Judged) => boolean): number => judged.filter(agrees).length / judged.length;
  return {
    tokens,
    full: share(({ fullAgrees }) => fullAgrees),
    exit: share(({ exitAgrees }) => exitAgrees),
    coverage: coverageBeside(judged, measuredLevels),
  };
}
