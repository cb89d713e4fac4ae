/**
 * Populations of texts that share headers and templates, as texts (so that copies are found as always) and as records
 * of an exit after block 2 of 6. Its doubt about a token is uniform in [0, 1], and it is wrong with probability
 * error · doubt², so that a policy which leaves below a doubt θ has the risk error · θ³ / 3, by document of that kind.
 */
import type { CalibrationRecords } from "early-exits/calibrate";
import type { Rng } from "early-exits/tensor";
import type { Threshold } from "../../src/exits/heads/score.js";
import { findKin } from "../../src/calibrate/record/find-kin.js";

export interface CopiedKind {
  /** Among the draws. */
  readonly share: number;
  readonly error: number;
  /** Words that all documents of this length of header share; tokens are as many as words. @default 0 */
  readonly header?: number;
  /** Words of its own. */
  readonly body: number;
  /** True if its documents are one text, in which one word in 50 is another. @default false */
  readonly template?: boolean;
}

/** Draws documents, sorted by kind. */
export function drawCopied(rng: Rng, kinds: readonly CopiedKind[], documents: number): CalibrationRecords {
  const word = (): string => `w${rng.integer(5000)}`;
  const templates = kinds.map(({ body }) => Array.from({ length: body }, word));
  const drawn = Array.from({ length: documents }, () => {
    let left = rng.uniform();
    return Math.max(
      0,
      kinds.findIndex(({ share }) => (left -= share) < 0),
    );
  }).sort((a, b) => a - b);
  const texts = drawn.map((kind) => {
    const { header = 0, template = false } = kinds[kind]!;
    const body = templates[kind]!.map((own) => (template && rng.uniform() >= 1 / 50 ? own : word()));
    return [...Array.from({ length: header }, (_, i) => `h${i}`), ...body];
  });
  const hashes = texts.map(() => Array.from({ length: 64 }, () => rng.integer(16).toString(16)).join(""));
  const kin = findKin(texts.map((judged, d) => ({ hash: hashes[d]!, parts: [[], judged] })));
  return {
    modelHash: "a".repeat(64),
    headsHash: "b".repeat(64),
    dtype: "float32",
    backend: "reference",
    depths: [2],
    numLayers: 6,
    sequenceLength: 256,
    ledger: { block: 100, heads: [20], unembedding: 40, fills: { lazy: [0] } },
    documents: texts.map((text, d) => {
      const positions = Math.min(20, text.length);
      const stats = new Float32Array(5 * positions);
      const agrees = new Uint8Array(positions);
      for (let t = 0; t < positions; t++) {
        const doubt = rng.uniform();
        stats.set([0, 2 - doubt, 1, 3, doubt], 5 * t); // argmax, top-1, top-2, log-sum-exp, entropy
        agrees[t] = Number(rng.uniform() >= kinds[drawn[d]!]!.error * doubt ** 2);
      }
      return { hash: hashes[d]!, ...kin[d], positions, exits: [{ stats, agrees }] };
    }),
  };
}

/** The mean loss over draws, of a threshold on the margin. */
export function riskOfCopied(kinds: readonly CopiedKind[], threshold: Threshold): number {
  const doubt = threshold === "never" ? 0 : threshold === "always" ? 1 : Math.min(1, 1 - threshold);
  return kinds.reduce((sum, { share, error }) => sum + (share * error * doubt ** 3) / 3, 0);
}
