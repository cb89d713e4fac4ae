/** Telemetry of one generated text. */
import type { GenerateSummary, Model } from "../../index.js";
import type { AuditReport, NoPromise } from "../../exits/index.js";
import { describeSampling } from "../../model/index.js";
import { percent, speed } from "../format.js";

export function summaryLines(summary: GenerateSummary, { config }: Model): string[] {
  const { newTokens, promptTokens, drafted, promise, audit } = summary;
  const reason = { endOfText: "end of text", stop: "stop string", length: "token limit" }[summary.finishReason];
  return [
    `${newTokens} tokens after a prompt of ${promptTokens} (ended by ${reason}); ${speed(summary.tokensPerSecond)}, ` +
      `first token after ${summary.timeToFirstToken.toFixed(0)} ms`,
    `mean depth ${summary.meanDepth.toFixed(2)} of ${config.numLayers} blocks`,
    ...(drafted === 0
      ? []
      : [
          `lossless: ${summary.tokensPerRound.toFixed(2)} tokens per round, ${percent(summary.acceptanceRate)} of ` +
            `${drafted} drafts accepted; the text is the full model's`,
        ]),
    ...promiseLine(promise),
    ...(audit === undefined ? [] : [auditLine(audit)]),
  ];
}

/** What is promised about the text; nothing is said where the full model wrote it. */
function promiseLine(promise: GenerateSummary["promise"]): string[] {
  switch (promise.kind) {
    case "plain":
    case "lossless": // said with its numbers
      return [];
    case "certified": {
      const { claim, agreement, sampling, reference } = promise;
      const model = reference.kind === "same" ? "the full model" : `the ${reference.dtype} model`;
      return [
        `promise: certified (claim ${claim}) to keep ${percent(agreement)} against ${model}, for text by ` +
          describeSampling(sampling),
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
  alarm: "the audit's alarm was raised",
};

function auditLine({ units, meanLoss, interval, target, raised }: AuditReport): string {
  if (units === 0) return "audit: this text was not chosen";
  return (
    `audit: ${units} texts judged by the reference, mean loss ${percent(meanLoss)} (${percent(interval.low)} to ` +
    `${percent(interval.high)}), promised at most ${percent(target)}; ${raised ? "the alarm was raised" : "no alarm"}`
  );
}
