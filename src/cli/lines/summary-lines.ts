/** Telemetry of one generated text. */
import type { GenerateSummary, Model } from "../../index.js";
import { percent, speed } from "../format.js";

export function summaryLines(summary: GenerateSummary, { config, screened }: Model): string[] {
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
  ];
}
