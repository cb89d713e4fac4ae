/** Policies certified on given text and on text that the model generates itself, each measured on both. */
import { type Document, type ExitHeads, type FillName, sampleDocuments } from "early-exits";
import { markedDocument } from "../../src/model/documents.js";
import { calibrateRecords, type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { percent } from "./percent.js";

/** One row per kind of text that the policy was certified on. */
export async function crossCertify(
  model: string,
  heads: ExitHeads,
  { given, pool, fill, delta }: CrossOptions,
): Promise<readonly (readonly (string | number)[])[]> {
  const prompts = pool.slice(0, 200).map((document) => firstTokens(heads, document));
  const generated: number[][] = [];
  const sampling = { count: prompts.length, prompts, length: 56, seed: 3 };
  for await (const document of sampleDocuments(heads.model, sampling)) generated.push(document);
  const own = await recordDocuments(heads, generated);
  const rows: (readonly (string | number)[])[] = [];
  for (const [label, from] of [
    ["text as given", given],
    ["the model's own", own],
  ] as const) {
    const { policy, certificate } = await calibrateRecords(from, { agreement: 0.9, delta, seed: 1, fill });
    const onGiven = playPolicy(given, policy);
    const onOwn = playPolicy(own, policy);
    rows.push([
      model,
      label,
      policy.score,
      certificate.furtherUnits === 0 ? "yes" : "no",
      percent(onGiven.documentAgreement),
      percent(onGiven.coverage),
      percent(onOwn.documentAgreement),
      percent(onOwn.coverage),
    ]);
  }
  return rows;
}

export interface CrossOptions {
  /** The recorded pool. */
  readonly given: CalibrationRecords;
  readonly pool: readonly Document[];
  readonly fill: FillName;
  readonly delta: number;
}

/** The first 8 tokens of a document. */
function firstTokens({ model }: ExitHeads, document: Document): number[] {
  return markedDocument(model, document).ids.slice(0, 8);
}
