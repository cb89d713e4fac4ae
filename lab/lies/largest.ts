/**
 * The largest certificates that have a legal shape, made to cost a verifier as much as they can: many documents, many
 * candidates, huge numbers of tokens, a search for missing units that goes on for long. They are sealed. Whether they
 * contradict themselves does not matter here, only time and memory do.
 */
import { calibrateRecords, type CalibrationRecords } from "early-exits/calibrate";
import { sealCertificate } from "../../src/calibrate/certificate/certificate.js";
import { LIMITS } from "../../src/calibrate/recompute/limits.js";
import { handmadeRecords } from "../../test/support/records.js";

/** The parts of a certificate that are changed after it was read from JSON. */
interface Draft {
  documents: { tokens: number }[];
  split: { grid: number };
  test: {
    planned: number;
    accepted: number;
    candidates: { left: number[]; wrong: number[] }[];
  };
  digest?: string;
}

export const largestKinds = ["documents", "groups", "candidates", "tokens", "missing"] as const;
type LargestKind = (typeof largestKinds)[number];

/** Makes one, as parsed JSON. */
export async function largestCertificate(kind: LargestKind): Promise<unknown> {
  switch (kind) {
    case "documents":
      return sealed(await certified(LIMITS.documents, { agreement: 0.8 }));
    case "groups":
      return sealed(await certified(LIMITS.documents, { agreement: 0.8, grouped: true }));
    case "candidates":
      return sealed(await certified(LIMITS.documents, { agreement: 0.5, candidates: 32 }));
    case "tokens":
      return sealed(manyTokens(await certified(830, { agreement: 0.5 })));
    case "missing":
      return sealed(await certified(LIMITS.documents, { agreement: 0.9, records: onTheBorder }));
  }
}

interface Made {
  readonly agreement: number;
  readonly records?: (count: number) => CalibrationRecords;
  readonly grouped?: boolean;
  readonly candidates?: number;
}

async function certified(
  count: number,
  { records = handmadeRecords, grouped = false, ...options }: Made,
): Promise<Draft> {
  const made = records(count);
  const documents = made.documents.map((document, d) => ({ ...document, group: d.toString(16).padStart(64, "0") }));
  const { certificate } = await calibrateRecords(grouped ? { ...made, documents } : made, options);
  return JSON.parse(JSON.stringify(certificate)) as Draft;
}

async function sealed(draft: Draft): Promise<unknown> {
  delete draft.digest;
  return JSON.parse(JSON.stringify(await sealCertificate(draft as never))) as unknown;
}

/** As many candidates as lists of counts hold, each with half of 2^24 tokens of every document at either exit. */
function manyTokens(draft: Draft): Draft {
  for (const document of draft.documents) document.tokens = LIMITS.tokens;
  const tested = draft.documents.length - draft.split.grid;
  const counts = (count: number): number[] => new Array<number>(2 * tested).fill(count);
  const { test } = draft;
  const candidate = { ...test.candidates[0]!, left: counts(2 ** 23), wrong: counts(2 ** 22) };
  const room = Math.min(LIMITS.candidates, Math.floor(LIMITS.counts / (4 * tested)) - 2);
  test.candidates = new Array<typeof candidate>(room).fill(candidate);
  test.accepted = room;
  test.planned = room;
  return draft;
}

/**
 * Records on which whole documents differ, somewhat fewer of them than every tenth: an agreement of 0.9 is so close
 * that many units are missing.
 */
function onTheBorder(count: number): CalibrationRecords {
  const records = handmadeRecords(count);
  return {
    ...records,
    documents: records.documents.map((document, d) => ({
      ...document,
      exits: document.exits.map(({ stats, agrees }) => ({ stats, agrees: agrees.map(() => Number(d % 1000 >= 98)) })),
    })),
  };
}
