/**
 * What a certificate claims and what must be true of the world for the claim to hold, in words. The words are part of
 * every certificate and of its digest: a change here changes the digest of new certificates.
 */
import { type FillName, isExactFill } from "../../exits/fill/index.js";
import type { Claim } from "../certificate/index.js";
import type { CertifySettings } from "./settings.js";

/** Claim and assumptions, one sentence or two each. */
export function assumptionsOf(settings: CertifySettings, sequenceLength: number): string[] {
  const { claim, unit, procedure, fill, delta, agreement } = settings;
  return [
    claims[claim](`${Number((100 * agreement).toPrecision(6))} %`),
    procedure === "crc"
      ? "It holds in the mean over draws of calibration documents, not for each draw with high probability."
      : `It fails with probability at most ${delta} over the draw of calibration documents.`,
    unit === "document"
      ? "The calibration documents and those met in use are independent draws from one population; tokens within " +
        "a document may depend on each other in any way."
      : "Tokens are independent draws from one population. Tokens of one document are not: under clustering this " +
        "claim fails more often than it says.",
    "Each token is judged against the full model's on the same prefix, text as given (teacher-forced), in " +
      `windows of at most ${sequenceLength} tokens; greedy decoding. Text that the policy writes itself is ` +
      "another population: calibrate on such text where it matters.",
    isExactFill(fill) ? exactFill(fill) : approximateFill(fill, claim),
    "Scores are compared as this device computes them; another device may differ in last bits.",
  ];
}

const claims: Readonly<Record<Claim, (percent: string) => string>> = {
  overall: (percent) =>
    "Claim: the share of a document's tokens that are the full model's, averaged over documents, is at " +
    `least ${percent}.`,
  anyChange: (percent) => `Claim: at least ${percent} of documents have no token changed.`,
  selective: (percent) =>
    `Claim: of the tokens that leave at an exit, at least ${percent} are the full model's, at every exit in ` +
    "use. It says nothing of a share of all tokens.",
};

function exactFill(fill: FillName): string {
  return (
    `Keys and values: "${fill}", which leaves tokens that run all blocks as the full model has them; so one ` +
    "recorded pass shows what the policy does."
  );
}

function approximateFill(fill: FillName, claim: Claim): string {
  const about = claim === "selective" ? ", but the claim speaks of tokens that leave early only" : "";
  return (
    `Keys and values: "${fill}", which changes other tokens too. The policy was run as deployed, from the first ` +
    `token on, and every token is counted${about}.`
  );
}
