/** Telemetry of one generated text. */
import type { GenerateSummary, Model } from "early-exits";
import type { AuditReport } from "early-exits/calibrate";
import type { NoPromise } from "early-exits/exits";
import { allWeights, describeSampling, storedBytes } from "early-exits/model";
import { bytes, percent, speed } from "../format.js";

export function summaryLines(summary: GenerateSummary, model: Model): string[] {
  const { config, screened } = model;
  const { newTokens, promptTokens, drafted, promise } = summary;
  const { screenedHeads, exactLogits } = summary.ledger.decode;
  const reason = { endOfText: "end of text", stop: "stop string", length: "token limit" }[summary.finishReason];
  if (newTokens === 0) return [`no tokens after a prompt of ${promptTokens} (ended by ${reason})`];
  return [
    `${newTokens} tokens after a prompt of ${promptTokens} (ended by ${reason}); ${speed(summary.tokensPerSecond)}, ` +
      `first token after ${summary.timeToFirstToken.toFixed(0)} ms`,
    `mean depth ${summary.meanDepth.toFixed(2)} of ${config.numLayers} blocks`,
    ...(screenedHeads === 0
      ? []
      : [
          `unembedding screened: ${(exactLogits / screenedHeads).toFixed(1)} of ${config.vocabSize} logits computed ` +
            `exactly per full-depth token; the coarse copy takes ${(screened!.bytes / 1e6).toFixed(1)} MB`,
        ]),
    ...(drafted === 0
      ? []
      : [
          `lossless: ${summary.tokensPerRound.toFixed(2)} tokens per round, ${percent(summary.acceptanceRate)} of ` +
            `${drafted} drafts accepted; the text is the full model's`,
        ]),
    memoryLine(summary, model),
    ...promiseLine(promise),
  ];
}

/** Memory of the device: weights, KV cache, screening copy, and the rest (heads, tables, working memory). */
function memoryLine({ cacheBytes }: GenerateSummary, { weights, dtype, kvCache, device, screened }: Model): string {
  const weightBytes = allWeights(weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
  // The cache is free again, so it is not among what is in use.
  const used = device.memory?.().used;
  return (
    `memory: weights ${bytes(weightBytes)} (${dtype}), KV cache ${bytes(cacheBytes)} (${kvCache})` +
    (screened === undefined ? "" : `, coarse unembedding ${bytes(screened.bytes)}`) +
    (used === undefined ? "" : `, heads and working memory ${bytes(used - weightBytes - (screened?.bytes ?? 0))}`)
  );
}

/** Nothing where the full model wrote the text. */
function promiseLine(promise: GenerateSummary["promise"]): string[] {
  switch (promise.kind) {
    case "plain":
    case "lossless": // said with its numbers
      return [];
    case "certified": {
      const { loss, agreement, sampling, reference } = promise;
      const model = reference.kind === "same" ? "the full model" : `the ${reference.dtype} model`;
      return [
        `promise: certified to keep ${percent(agreement)} of ${loss === "anyChange" ? "documents" : "tokens"} ` +
          `against ${model}, for text by ${describeSampling(sampling)}`,
      ];
    }
    case "none":
      return [`promise: none, ${NO_PROMISE[promise.reason]}`];
  }
}

const NO_PROMISE: Readonly<Record<NoPromise, string>> = {
  uncertified: "the policy has no certificate",
  impossible: "nothing could be certified against the reference",
  sampling: "the certificate is for other sampling settings",
  observer: "an observer set thresholds",
};

export function auditLine({ units, meanLoss, interval, target, raised }: AuditReport): string {
  if (units === 0) return "audit: none of these texts was chosen";
  return (
    `audit: ${units} texts judged by the reference, mean loss ${percent(meanLoss)} (${percent(interval.low)} to ` +
    `${percent(interval.high)}), promised at most ${percent(target)}; ` +
    (raised ? "the alarm was raised, and exits are off" : "no alarm")
  );
}
