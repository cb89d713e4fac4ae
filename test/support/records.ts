/** Calibration records made by hand, for a model of 6 blocks with exits at depths 2 and 4. */
import { createRng } from "early-exits/tensor";
import type { CalibrationRecords } from "early-exits/calibrate";

/**
 * Every head's doubt about a token is uniform in [0, 1). The deeper head is wrong with probability error·doubt², the
 * other twice as often; the margin is 1 - doubt, the entropy is the doubt. Documents have 15 to 30 tokens.
 */
export function handmadeRecords(documents: number, { error = 0.3, seed = 1 } = {}): CalibrationRecords {
  const rng = createRng(seed);
  const exit = (positions: number, factor: number) => {
    const stats = new Float32Array(5 * positions);
    const agrees = new Uint8Array(positions);
    for (let t = 0; t < positions; t++) {
      const doubt = rng.uniform();
      stats.set([0, 2 - doubt, 1, 3, doubt], 5 * t); // argmax, top-1, top-2, log-sum-exp, entropy
      agrees[t] = Number(rng.uniform() >= error * factor * doubt ** 2);
    }
    return { stats, agrees };
  };
  return {
    modelHash: "a".repeat(64),
    headsHash: "b".repeat(64),
    dtype: "float32",
    backend: "reference",
    depths: [2, 4],
    numLayers: 6,
    sequenceLength: 256,
    ledger: { block: 100, heads: [20, 20], unembedding: 40, fills: { lazy: [0, 0] } },
    documents: Array.from({ length: documents }, (_, d) => {
      const positions = 15 + rng.integer(16);
      return {
        hash: (seed * 100_000 + d).toString(16).padStart(64, "0"),
        positions,
        exits: [exit(positions, 2), exit(positions, 1)],
      };
    }),
  };
}

type Exit = CalibrationRecords["documents"][number]["exits"][number];

/** Records of which a function changes what every exit shows of a document. */
export const withExits = (records: CalibrationRecords, change: (exit: Exit) => Exit) => ({
  ...records,
  documents: records.documents.map((document) => ({ ...document, exits: document.exits.map(change) })),
});
