/** Telemetry of one generated text. */
import type { GenerateSummary, Model } from "../../index.js";
import { allWeights, storedBytes } from "../../model/index.js";
import { bytes, percent, speed } from "../format.js";

export function summaryLines(summary: GenerateSummary, model: Model): string[] {
  const { config, screened } = model;
  const { newTokens, promptTokens, drafted } = summary;
  const { screenedHeads, exactLogits } = summary.ledger.decode;
  const reason = { endOfText: "end of text", stop: "stop string", length: "token limit" }[summary.finishReason];
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
  ];
}

/** Weights, KV cache, and what else the device uses: heads, tables of positions and working memory. */
function memoryLine({ cacheBytes }: GenerateSummary, { weights, dtype, kvCache, device }: Model): string {
  const weightBytes = allWeights(weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
  // The cache is free again, so it is not among what is in use.
  const used = device.memory?.().used;
  return (
    `memory: weights ${bytes(weightBytes)} (${dtype}), KV cache ${bytes(cacheBytes)} (${kvCache})` +
    (used === undefined ? "" : `, heads and working memory ${bytes(used - weightBytes)}`)
  );
}
