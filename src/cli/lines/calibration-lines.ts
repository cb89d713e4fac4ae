/** The words for calibrations: what a certificate promises, what a policy did on a text. */
import type { Certificate, ScoreName } from "../../index.js";
import type { PolicyOutcome } from "../../calibrate/index.js";
import { percent, table, threshold } from "../format.js";

export const NO_GUARANTEE =
  "The paper's procedure carries no guarantee: thresholds are measured on the text that they were chosen on, so " +
  "expect somewhat less agreement on other text.";

/** What a certificate promises, or what it would take to promise something. */
export function promiseLines(certificate: Certificate): string[] {
  const { policy, unit, agreement, tests, documents, split, furtherUnits, procedure } = certificate;
  const tested = documents.length - split.grid;
  if (policy.exits.every((exit) => exit.threshold === "never")) {
    const more =
      furtherUnits === null
        ? "more text like this would not help"
        : `about ${furtherUnits} more ${unit}s like these are needed`;
    return [
      `not certified: no policy with exits was proven to keep ${percent(agreement)} on ${tested} documents, so this ` +
        `one never exits; ${more}`,
    ];
  }
  const tried = tests.reduce((sum, { candidates }) => sum + candidates.length, 0);
  return [
    `certified: ${promiseOf(certificate)}; ${tested} documents tested, ${tried} candidates tried (${procedure}), ` +
      `${unit}s assumed independent. Further assumptions: certificate.assumptions`,
  ];
}

function promiseOf({ claim, agreement, promise, delta }: Certificate): string {
  const share = percent(agreement);
  const what = {
    overall: `on average, ${share} of a document's tokens agree with the full model`,
    anyChange: `${share} of the documents are unchanged`,
    selective: `at every exit, ${share} of the tokens that leave agree with the full model`,
  }[claim];
  return promise === "expectation"
    ? `${what}, in the mean over calibrations (nothing is promised for a single one)`
    : `${what}, with probability ${percent(1 - delta)}`;
}

/** One row per exit. */
export function outcomeTable(
  { exits }: PolicyOutcome,
  thresholds: readonly (number | string)[],
  score: ScoreName,
): string[] {
  return table([
    ["exit", `threshold (${score})`, "reached", "leave", "of them agree"],
    ...exits.map(({ depth, reached, coverage, agreement }, i) => [
      `depth ${depth}`,
      threshold(thresholds[i]!),
      String(reached),
      percent(coverage),
      percent(agreement),
    ]),
  ]);
}
